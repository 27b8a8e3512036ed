"""The size of buffers is logged before they are filled."""

from __future__ import annotations

import logging

import pytest

from pamiq_exp.buffers import RingBuffer, RolloutBuffer, log_buffer_sizes
from pamiq_exp.buffers import sizes as module
from pamiq_exp.formatting import bytes_text

FIELDS = {"image": {"shape": [64, 64, 3], "dtype": "uint8"}}


def test_bytes_text_formats_bytes_with_units() -> None:
    expected = {0: "0 B", 999: "999 B", 12_288: "12.3 kB", 100_663_296: "100.7 MB", 5e15: "5000.0 TB"}
    assert {count: bytes_text(count) for count in expected} == expected


def test_log_buffer_sizes_logs_the_size_of_each_buffer(caplog: pytest.LogCaptureFixture) -> None:
    buffers = {"replay": RingBuffer(100, 2, FIELDS), "rollout": RolloutBuffer(4, 2, FIELDS)}
    with caplog.at_level(logging.INFO):
        assert log_buffer_sizes(buffers) == "buffers, when full: replay 2.5 MB, rollout 98.3 kB"
    assert "replay 2.5 MB" in caplog.text


def test_log_buffer_sizes_warns_if_buffers_exceed_physical_memory(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "physical_memory", lambda: 1000)
    with caplog.at_level(logging.WARNING):
        log_buffer_sizes({"replay": RingBuffer(100, 2, FIELDS)})
    assert "smaller capacity" in caplog.text
