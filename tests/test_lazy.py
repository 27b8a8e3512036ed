"""Packages load their public names when they are first used."""

import gc
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pamiq_exp
from pamiq_exp import lazy

LAZY = ["pamiq_exp"] + [
    f"pamiq_exp.{name}" for name in ("agents", "environments", "models", "rewards", "runtime", "trainers")
]


def test_lazy_package_loads_every_public_name() -> None:
    packages = map(import_module, LAZY)
    missing = [
        f"{package.__name__}.{name}"
        for package in packages
        for name in package.__all__
        if getattr(package, name, None) is None
    ]
    assert not missing


def test_lazy_package_raises_attribute_error_for_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lanch'"):
        pamiq_exp.lanch  # noqa: B018


def test_lazy_package_import_loads_no_heavy_library() -> None:
    program = "import sys, pamiq_exp, pamiq_exp.runtime, pamiq_exp.environments; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "lightning", "numba", "wandb", "hydra"} & set(loaded)


def test_lazy_run_without_learning_loads_no_library_for_learning(tmp_path: Path) -> None:
    program = (
        "import sys; from pamiq_exp.cli import main; status = main(sys.argv[1:]);"
        "open('loaded', 'w').write(' '.join(sys.modules)); sys.exit(status)"
    )
    words = ["experiment=minimum", "launcher.max_steps=1", "hydra.run.dir=run"]
    subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True, cwd=tmp_path)
    loaded = set((tmp_path / "loaded").read_text().split())
    assert "torch" in loaded
    assert not {"lightning", "torch._dynamo", "torchmetrics", "scipy", "matplotlib", "numba", "wandb"} & loaded


def test_lazy_without_collections_freezes_only_large_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lazy, "_MANY", 1_000)
    gc.unfreeze()
    for objects, frozen in ((100, False), (2_000, True)):
        with lazy.without_collections():
            assert not gc.isenabled()
            gc_free = [[] for _ in range(objects)]
        assert gc.isenabled()
        assert (gc.get_freeze_count() > len(gc_free)) is frozen


def test_lazy_without_collections_nests_and_restores_the_collector() -> None:
    def fail() -> None:
        with lazy.without_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise ImportError

    with pytest.raises(ImportError), lazy.without_collections():
        fail()
    assert gc.isenabled()
    gc.disable()
    try:
        with lazy.without_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
