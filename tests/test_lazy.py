"""Packages load their public names when they are first used."""

import subprocess
import sys

import pytest

import pamiq_exp
import pamiq_exp.environments
import pamiq_exp.runtime


@pytest.mark.parametrize("package", [pamiq_exp, pamiq_exp.environments, pamiq_exp.runtime])
def test_every_public_name_of_a_package_can_be_loaded(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lanch'"):
        pamiq_exp.lanch  # noqa: B018


def test_importing_the_package_loads_no_heavy_library() -> None:
    program = "import sys, pamiq_exp, pamiq_exp.runtime, pamiq_exp.environments; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "lightning", "numba", "wandb", "hydra"} & set(loaded)
