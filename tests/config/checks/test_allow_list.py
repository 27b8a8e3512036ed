"""Which names a config may use."""

from __future__ import annotations

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

DEFAULT = AllowList()


@pytest.mark.parametrize(
    "name",
    [
        "pamiq_exp.agents.RandomAgent",
        "pamiq_exp.models.encoders.encoder.Anything",
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "lightning.pytorch.loggers.CSVLogger",
    ],
)
def test_allow_list_permits_names_of_parts(name: str) -> None:
    assert DEFAULT.permits_name(name)


@pytest.mark.parametrize(
    "name",
    [
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
    ],
)
def test_allow_list_refuses_all_other_names(name: str) -> None:
    assert not DEFAULT.permits_name(name)


@pytest.mark.parametrize(
    "found",
    [
        torch.nn.Linear,
        torch.optim.AdamW,
        torch.optim.lr_scheduler.CosineAnnealingLR,
        lightning.pytorch.loggers.CSVLogger,
        gymnasium.wrappers.GrayscaleObservation,
        pamiq_exp.buffers.RingBuffer,
    ],
)
def test_allow_list_permits_classes_of_parts(found: object) -> None:
    assert DEFAULT.permits_object(found)


@pytest.mark.parametrize(
    "found",
    [
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
    ],
)
def test_allow_list_refuses_objects_that_are_not_parts(found: Any) -> None:
    assert not DEFAULT.permits_object(found)


def test_allow_list_refuses_a_helper_function_of_pamiq_exp() -> None:
    assert not DEFAULT.permits_object(pamiq_exp.run_folder.manifest.machine)


def test_allow_list_of_a_package_permits_all_below_it_and_no_similar_name() -> None:
    allow = AllowList(("my_package",))
    assert allow.permits_name("my_package.worlds.Maze")
    assert not allow.permits_name("my_package_too.worlds.Maze")


def test_allow_list_of_user_reads_flags_and_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMIQ_EXP_ALLOW", "one, two.sub")
    assert AllowList.of_user(["three.*"]).trusted == ("three", "one", "two.sub")


@pytest.mark.parametrize("prefix", ["*", "a b", "os.system('x')", "."])
def test_allow_list_refuses_invalid_prefixes(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot allow"):
        AllowList((prefix,))


@pytest.mark.parametrize(
    "module",
    ["torch", "torch.nn", "torch.nn.functional", "torch.nn.utils", "torch.utils", "torch.utils.data", "torch.optim",
     "torch.serialization", "torch.hub", "torch.jit", "numpy", "lightning", "lightning.pytorch",
     "lightning.pytorch.loggers", "lightning.fabric", "gymnasium", "gymnasium.wrappers", "hydra.utils", "os", "shutil",
     "subprocess", "builtins", "pathlib", "importlib"],
)  # fmt: skip
def test_allow_list_permits_only_parts_among_all_names_of_a_module(module: str) -> None:
    found = import_module(module)
    passing = {
        name
        for name in dir(found)
        if DEFAULT.permits_name(f"{module}.{name}") and DEFAULT.permits_object(getattr(found, name, None))
    }
    parts = {
        name
        for name in passing
        if issubclass(getattr(found, name), (torch.nn.Module, torch.optim.Optimizer, gymnasium.Wrapper))
        or issubclass(getattr(found, name), torch.optim.lr_scheduler.LRScheduler)
    }
    assert passing - parts <= {"CSVLogger", "TensorBoardLogger"}
    assert bool(passing) == (module in ("torch.nn", "torch.optim", "lightning.pytorch.loggers", "gymnasium.wrappers"))


@pytest.mark.parametrize("name", pamiq_exp.tracking.__all__)
def test_allow_list_permits_only_trackers_of_the_tracking_package(name: str) -> None:
    found = getattr(pamiq_exp.tracking, name)
    is_tracker = isinstance(found, type) and issubclass(found, pamiq_exp.tracking.Tracker)
    assert DEFAULT.permits_object(found) == is_tracker


def test_allow_list_permits_packages_with_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("any", "their_package.parts", "pamiq_exp.targets")
    monkeypatch.setattr(
        "pamiq_exp.config.checks.allow_list.entry_points", lambda group: [point] if "targets" in group else []
    )
    assert AllowList.of_user().permits_name("their_package.parts.World")
    assert not AllowList.of_user().permits_name("their_package.other.World")
