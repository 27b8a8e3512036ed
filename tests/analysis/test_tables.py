from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.analysis import Estimate, Table
from pamiq_exp.analysis.tables import text

TABLE = Table("t", "A & B", ["arm", "score"], [["a_b|c", Estimate(0.4123, 0.351, 0.469)], ["50 %", None]])


def test_table_to_markdown_has_one_line_per_row_and_escapes_pipes() -> None:
    assert TABLE.to_markdown().splitlines() == [
        "| arm    | score             |",
        "| ------ | ----------------: |",
        r"| a_b\|c | 0.41 [0.35, 0.47] |",
        "| 50 %   |                   |",
    ]


def test_table_to_latex_escapes_special_characters() -> None:
    latex = TABLE.to_latex()
    assert r"a\_b\textbar{}c & $0.41$ {\small $[0.35, 0.47]$} \\" in latex
    assert r"50 \% &  \\" in latex
    assert r"\caption{A \& B}" in latex
    assert r"\begin{tabular}{lr}" in latex


def test_table_to_csv_keeps_full_precision_and_writes_intervals_as_columns() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows == [
        ["arm", "score", "score low", "score high"],
        ["a_b|c", "0.4123", "0.351", "0.469"],
        ["50 %", "", "", ""],
    ]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_table_to_csv_preserves_text_and_quotes_formulas(cells: list[str]) -> None:
    cells = [cell.replace("\r", " ").replace("\x00", "") for cell in cells]
    table = Table("t", "t", [str(index) for index in range(len(cells))], [cells])
    shown = [f"'{cell}" if is_formula(cell) else cell for cell in cells]
    assert list(csv.reader(io.StringIO(table.to_csv(), newline="")))[1:] == (
        [shown] if any(shown) or len(shown) > 1 else [[""]]
    )


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute this text: then it is given with an apostrophe before it."""
    try:
        float(cell)
    except ValueError:
        return cell.strip()[:1] in tuple("=+-@")
    return False


def test_text_shows_numbers_with_their_significant_digits() -> None:
    cases = [
        (Estimate(0.5, math.nan, math.nan), "0.5"),
        (Estimate(0.50004, 0.49, 0.51), "0.500 [0.490, 0.510]"),
        (Estimate(123.4, 100.0, 160.0), "123 [100, 160]"),
        (Estimate(1.0, 1.0, 1.0), "1.000 [1.000, 1.000]"),
        (Estimate(3e9, 2e9, 4e9), "3e+09 [2e+09, 4e+09]"),
        (Estimate(0.0, 0.0, 0.0), "0 [0, 0]"),
        (math.nan, "nan"),
        (1234567.0, "1234567"),
        (0.123456, "0.1235"),
        (None, ""),
        (True, "true"),
    ]
    assert [text(cell) for cell, _ in cases] == [shown for _, shown in cases]


def test_table_write_writes_csv_markdown_and_latex(tmp_path: Path) -> None:
    TABLE.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.md", "t.tex"]
