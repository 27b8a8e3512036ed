"""Which names a config may use."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import gymnasium
import lightning.pytorch.loggers
import pytest
import torch

import pamiq_exp.buffers
import pamiq_exp.models
import pamiq_exp.runtime
import pamiq_exp.tracking
from pamiq_exp.config import AllowList
from tests.cases import error_of

DEFAULT = AllowList()


def test_allow_list_permits_names_of_parts() -> None:
    names = [
        "pamiq_exp.agents.RandomAgent",
        "pamiq_exp.models.encoders.encoder.Anything",
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "lightning.pytorch.loggers.CSVLogger",
    ]
    assert [name for name in names if not DEFAULT.permits_name(name)] == []


def test_allow_list_refuses_all_other_names() -> None:
    names = [
        "os.system",
        "torch.load",
        "torch.hub.load",
        "torch.nnx.Linear",
        "pamiq_exp.cli.main",
        "pamiq_exp.config.build.Builder",
        "pamiq_exp.runtime.launch",
        "pamiq_expert.agents.Agent",
        "pamiq_exp.agents..RandomAgent",
        "pamiq_exp.agents.RandomAgent()",
        "",
    ]
    assert [name for name in names if DEFAULT.permits_name(name)] == []


def test_allow_list_permits_classes_of_parts() -> None:
    classes = [
        torch.nn.Linear,
        torch.optim.AdamW,
        torch.optim.lr_scheduler.CosineAnnealingLR,
        lightning.pytorch.loggers.CSVLogger,
        gymnasium.wrappers.GrayscaleObservation,
        pamiq_exp.buffers.RingBuffer,
    ]
    assert [each for each in classes if not DEFAULT.permits_object(each)] == []


def test_allow_list_refuses_objects_that_are_not_parts() -> None:
    objects = [
        torch.load,
        torch.nn.functional.relu,
        torch.nn.modules.module.torch.load,  # type: ignore[attr-defined]
        torch.nn.Parameter,
        gymnasium.make,
        gymnasium.wrappers.RecordVideo,
        torch.optim,
        Path.write_text,
        Path,
        pamiq_exp.runtime.launch,
        pamiq_exp.files.os.replace,  # type: ignore[attr-defined]
        3,
    ]
    assert [each for each in objects if DEFAULT.permits_object(each)] == []


def test_allow_list_refuses_a_helper_function_of_pamiq_exp() -> None:
    assert not DEFAULT.permits_object(pamiq_exp.run_folder.manifest.machine)


def test_allow_list_of_a_package_permits_all_below_it_and_no_similar_name() -> None:
    allow = AllowList(("my_package",))
    assert allow.permits_name("my_package.worlds.Maze")
    assert not allow.permits_name("my_package_too.worlds.Maze")


def test_allow_list_of_user_reads_flags_and_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMIQ_EXP_ALLOW", "one, two.sub")
    assert AllowList.of_user(["three.*"]).trusted == ("three", "one", "two.sub")


def test_allow_list_refuses_invalid_prefixes() -> None:
    prefixes = ("*", "a b", "os.system('x')", ".")
    reported = [error_of(ValueError, partial(AllowList, (prefix,))).partition(":")[0] for prefix in prefixes]
    assert reported == [f"cannot allow {prefix!r}" for prefix in prefixes]


PART_CLASSES = (torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler, gymnasium.Wrapper)
WITH_PARTS = ("torch.nn", "torch.optim", "lightning.pytorch.loggers", "gymnasium.wrappers")
WITHOUT_PARTS = (
    "torch", "torch.nn.functional", "torch.nn.utils", "torch.utils", "torch.utils.data", "torch.serialization",
    "torch.hub", "torch.jit", "numpy", "lightning", "lightning.pytorch", "lightning.fabric", "gymnasium", "hydra.utils",
    "os", "shutil", "subprocess", "builtins", "pathlib", "importlib",
)  # fmt: skip


def permitted(module: str) -> dict[str, Any]:
    """Return the names of a module that pass the list, with the objects."""
    found = {name: getattr(import_module(module), name, None) for name in dir(import_module(module))}
    return {
        name: each
        for name, each in found.items()
        if DEFAULT.permits_name(f"{module}.{name}") and DEFAULT.permits_object(each)
    }


def test_allow_list_permits_only_parts_among_all_names_of_a_module() -> None:
    passing = {module: permitted(module) for module in (*WITH_PARTS, *WITHOUT_PARTS)}
    assert [module for module, names in passing.items() if names] == list(WITH_PARTS)
    others = {
        f"{module}.{name}"
        for module, names in passing.items()
        for name, each in names.items()
        if not issubclass(each, PART_CLASSES)
    }
    assert others <= {f"lightning.pytorch.loggers.{name}" for name in ("CSVLogger", "TensorBoardLogger")}


def test_allow_list_permits_only_trackers_of_the_tracking_package() -> None:
    found = {name: getattr(pamiq_exp.tracking, name) for name in pamiq_exp.tracking.__all__}
    trackers = {
        name for name, each in found.items() if isinstance(each, type) and issubclass(each, pamiq_exp.tracking.Tracker)
    }
    assert {name for name, each in found.items() if DEFAULT.permits_object(each)} == trackers


def test_allow_list_permits_packages_with_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("any", "their_package.parts", "pamiq_exp.targets")
    monkeypatch.setattr(
        "pamiq_exp.config.checks.allow_list.entry_points", lambda group: [point] if "targets" in group else []
    )
    assert AllowList.of_user().permits_name("their_package.parts.World")
    assert not AllowList.of_user().permits_name("their_package.other.World")
