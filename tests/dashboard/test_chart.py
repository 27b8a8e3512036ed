"""Updates of charts: everything at first, then only new points; errors after a browser has left are ignored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the dashboard needs nicegui: extra dashboard")

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.chart import Drawn


def chart(*curves: list[list[float | None]], log: bool = False) -> dict[str, Any]:
    return {"yAxis": {"type": "log" if log else "value"},
            "series": [{"name": str(index), "data": points} for index, points in enumerate(curves)]}  # fmt: skip


def test_chart_is_sent_whole_once_and_then_only_its_new_points() -> None:
    drawn = Drawn()
    frame, curves = drawn.change(chart([[0.0, 1.0]], [[0.0, None]])) or (None, [])
    assert frame == {"yAxis": {"type": "value"}, "series": [{"name": "0", "data": None}, {"name": "1", "data": None}]}
    assert curves == [(0, [[0.0, 1.0]]), (0, [[0.0, None]])]
    assert drawn.change(chart([[0.0, 1.0], [1.0, 2.0]], [[0.0, None]])) == (None, [(1, [[1.0, 2.0]]), (1, [])])
    assert drawn.change(chart([[0.0, 1.0], [1.0, 2.0]], [[0.0, None]])) is None


def test_chart_sends_a_changed_curve_from_its_first_difference() -> None:
    drawn = Drawn()
    drawn.change(chart([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]))
    assert drawn.change(chart([[0.0, 1.0], [1.0, 2.0], [3.0, 4.0]])) == (None, [(2, [[3.0, 4.0]])])
    assert drawn.change(chart([[0.0, 1.0], [3.0, 4.0]])) == (None, [(1, [[3.0, 4.0]])])
    assert drawn.change(chart([])) == (None, [(0, [])])


@pytest.mark.parametrize("other", [chart([[0.0, 1.0]], log=True), chart([[0.0, 1.0]], [[0.0, 1.0]])])
def test_chart_is_sent_whole_if_its_scale_or_number_of_curves_changes(other: dict[str, Any]) -> None:
    drawn = Drawn()
    drawn.change(chart([[0.0, 1.0]]))
    frame, curves = drawn.change(other) or (None, [])
    assert frame is not None
    assert all(kept == 0 for kept, _ in curves)


@pytest.mark.parametrize("gone", [True, False])
def test_shell_repeat_ignores_errors_after_the_browser_has_left(gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Callable[[], Awaitable[None]]] = []
    client = SimpleNamespace(is_deleted=False)
    monkeypatch.setattr(shell, "context", SimpleNamespace(client=client))
    monkeypatch.setattr(shell.ui, "timer", lambda seconds, call, once: calls.append(call))

    async def update() -> None:
        client.is_deleted = gone
        raise RuntimeError("the page has no client")

    shell.repeat(1.0, update)
    with nullcontext() if gone else pytest.raises(RuntimeError, match="no client"):
        asyncio.run(calls[0]())  # type: ignore[arg-type]
