"""Settings of Hydra, which config files may not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import ConfigError, Source, compose
from tests.config.hostile import HYDRA, SECRET, SECRET_NAME


def test_compose_refuses_hydra_settings_in_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a package header; `test_hostile.py` has the same settings below the key `hydra`."""
    monkeypatch.setenv(SECRET_NAME, SECRET)
    (tmp_path / "experiment").mkdir()
    for key, text in HYDRA.items():
        (tmp_path / "experiment" / "hostile.yaml").write_text(f"# @package hydra\n{text}\n")
        with pytest.raises(ConfigError) as refused:
            compose(["experiment=hostile"], Source(folder=str(tmp_path)))
        errors = refused.value.errors
        assert key in {detail.key for detail in errors}
        assert {detail.message for detail in errors} == {"may not be set by a config file"}
        assert SECRET not in str(errors)


def test_compose_accepts_hydra_settings_on_the_command_line() -> None:
    words = ["experiment=minimum", "hydra.run.dir=/tmp/mine", "hydra.verbose=true", "hydra/job_logging=stdout"]
    assert compose(words).config.hydra.verbose is True
