from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pamiq_exp.analysis import ReportError, Scores, read_contrasts
from pamiq_exp.analysis.contrasts import Contrast, contrast_table, findings
from tests.cases import error_of

SEEDS = tuple(range(10))
CLEAN = np.linspace(0.4, 0.6, 10)
FILE = """
- name: the remote costs it coverage
  first: {arm: error, task: remote}
  second: {arm: error, task: clean}
- {name: the remote costs it nothing, first: {arm: ama, task: remote}, second: {arm: ama, task: clean}, within: 0.05}
- {name: another, first: {arm: rnd, task: remote}, second: {arm: rnd, task: clean}}
"""


def scores() -> Scores:
    values = {
        ("error", "clean"): CLEAN,
        ("error", "remote"): CLEAN - 0.2 + 0.001 * np.arange(10),
        ("ama", "clean"): CLEAN,
        ("ama", "remote"): CLEAN + 0.01 * (-1.0) ** np.arange(10),
    }
    return Scores(
        "coverage_auc", False, values, dict.fromkeys(values, SEEDS), ("error", "ama"), ("clean", "remote"), ()
    )


def test_contrasts_are_paired_corrected_and_shown_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "contrasts.yaml").write_text(FILE)
    found, missing = findings(read_contrasts(tmp_path / "contrasts.yaml"), scores())
    assert missing == ["another: there is no run of rnd in remote"]
    assert [each.p for each in found] == pytest.approx([2 / 1024, 1 / 1024])
    assert [each.corrected for each in found] == pytest.approx([2 * 2 / 1024, 3 / 1024])  # three were listed
    assert found[0].difference.mean.value == pytest.approx(-0.1955)
    table = contrast_table(found, "coverage_auc", 3)
    assert table.rows[0][:4] == ["the remote costs it coverage", "error in remote", "error in clean", 10]
    assert [row[-1] for row in table.rows] == ["yes", "yes"]
    assert "95.1 %" in table.title


def test_contrasts_pair_only_seeds_that_both_cells_have() -> None:
    some = scores()
    some.values["error", "remote"] = some.values["error", "remote"][2:]  # type: ignore[index]
    some.seeds["error", "remote"] = SEEDS[2:]  # type: ignore[index]
    (found,), _ = findings([Contrast("x", ("error", "remote"), ("error", "clean"))], some)
    assert found.difference.pairs == 8
    assert found.difference.mean.value == pytest.approx(-0.2 + 0.001 * np.arange(2, 10).mean())


def test_read_contrasts_refuses_an_invalid_file_with_a_reason(tmp_path: Path) -> None:
    cases = [
        ("{}", "no list of contrasts"),
        ("[]", "no list of contrasts"),
        ("- 3", "a contrast has the form"),
        ("- {name: a, first: {arm: x, task: y}}", "a contrast has the form"),
        ("- {name: a, first: {arm: x}, second: {arm: x, task: y}}", "entry 1, first: give arm and task"),
        ("- {name: a, first: {arm: x, task: y}, second: {arm: x, task: y}, within: -1}", "positive number, not -1"),
        ("- {name: a, first: {arm: x, task: y}, second: {arm: x, task: y}, margin: 1}", "unknown key 'margin'"),
        ("- [", "cannot be read"),
    ]
    for content, message in cases:
        (tmp_path / "c.yaml").write_text(content)
        assert message in error_of(ReportError, read_contrasts, tmp_path / "c.yaml"), content


def test_read_contrasts_reports_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="contrasts cannot be read"):
        read_contrasts(tmp_path / "none.yaml")
