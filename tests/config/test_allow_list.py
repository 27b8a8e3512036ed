"""Which names a config may use."""

from __future__ import annotations

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
        "pamiq_exp.models.encoder.Anything",
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "lightning.pytorch.loggers.CSVLogger",
    ],
)
def test_names_of_parts_pass(name: str) -> None:
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
def test_other_names_are_refused_before_any_import(name: str) -> None:
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
def test_parts_pass_by_what_they_are(found: object) -> None:
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
        pamiq_exp.tracking.files.os.replace,  # type: ignore[attr-defined]
        3,
    ],
)
def test_an_alias_leads_nowhere(found: Any) -> None:
    assert not DEFAULT.permits_object(found)


def test_a_helper_function_of_a_room_is_no_part() -> None:
    assert not DEFAULT.permits_object(pamiq_exp.tracking.manifest.machine)


def test_the_user_allows_a_package_and_all_below_it_but_no_neighbour() -> None:
    allow = AllowList(("my_package",))
    assert allow.permits_name("my_package.worlds.Maze")
    assert not allow.permits_name("my_package_too.worlds.Maze")


def test_prefixes_come_from_flags_and_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAMIQ_EXP_ALLOW", "one, two.sub")
    assert AllowList.of_user(["three.*"]).trusted == ("three", "one", "two.sub")


@pytest.mark.parametrize("prefix", ["*", "a b", "os.system('x')", "."])
def test_what_is_no_name_cannot_be_allowed(prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot allow"):
        AllowList((prefix,))
