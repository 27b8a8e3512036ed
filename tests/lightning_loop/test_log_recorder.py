"""Logged values are fetched from an accelerator once per batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pamiq_exp.lightning_loop.log_recorder import LogRecorder


class Remote(Tensor):
    """A tensor that reports another device than the CPU, and counts how often it is fetched."""

    fetched = 0

    @property
    def is_cpu(self) -> bool:
        return False

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.fetched += function in (Tensor.item, Tensor.tolist, Tensor.__float__)
        return super().__torch_function__(function, types, args, kwargs or {})


def remote(value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.tensor(value, dtype=dtype).as_subclass(Remote)


@pytest.fixture
def recorder() -> LogRecorder:
    recorder = LogRecorder()
    recorder.hook = "training_step"
    return recorder


def test_log_recorder_fetches_accelerator_values_once_a_batch_as_logged(
    recorder: LogRecorder,
) -> None:
    Remote.fetched = 0
    recorder.begin_batch(torch.zeros(4))
    weight = remote(1.5)
    recorder.log("weight", weight, on_step=True, on_epoch=True)
    weight += 100
    recorder.log("loss", remote(0.1), on_step=True, on_epoch=True)
    recorder.log("double", remote(0.1, torch.float64))
    recorder.log("count", remote(3, torch.int64))
    recorder.log("plain", 0.1)
    assert Remote.fetched == 0
    metrics = recorder.end_batch()
    assert Remote.fetched == 1
    assert metrics == {
        "weight_step": 1.5,
        "loss_step": float(torch.tensor(0.1)),
        "double": 0.1,
        "count": 3.0,
        "plain": 0.1,
    }
    recorder.begin_batch(torch.zeros(4))
    recorder.log("loss", remote(0.3), on_step=True, on_epoch=True)
    recorder.end_batch()
    assert recorder.end_epoch() == pytest.approx({"weight_epoch": 1.5, "loss_epoch": 0.2})


def test_log_recorder_reports_only_what_a_batch_logged(recorder: LogRecorder) -> None:
    recorder.log("rare", 1.0)
    assert recorder.end_batch() == {"rare": 1.0}
    assert recorder.end_batch() == {}
    assert recorder.values == {"rare": 1.0}, "but a scheduler may still monitor it"
