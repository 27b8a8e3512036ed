"""Tables for people, papers and programs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pamiq_exp.analysis.statistics import Estimate
from pamiq_exp.files import write_atomically

Cell: TypeAlias = str | float | int | Estimate | None

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\n": " ",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows of text, numbers and estimates under named columns.

    Attributes:
        name: Its file name, without suffix.
        title: What it shows, in one sentence.
        columns: The head.
        rows: Each as long as the head.
        below: What all paths in the first column begin with: the page says it once.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    below: str = ""

    def to_markdown(self) -> str:
        """Return a pipe table."""
        head = [markdown(column) for column in self.columns]
        body = [[_markdown_cell(cell) for cell in row] for row in self.rows]
        widths = [max(3, *(len(row[index]) for row in (head, *body))) for index in range(len(head))]
        rule = [
            ("-" * (width - 1) + ":") if self.is_numeric(index) else "-" * width for index, width in enumerate(widths)
        ]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
                 for row in (head, rule, *body)]  # fmt: skip
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """Return a `tabular` for the package booktabs, in a `table` with caption and label."""
        kinds = "".join("r" if self.is_numeric(index) else "l" for index in range(len(self.columns)))
        lines = [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{_latex(self.title)}}}",
            rf"  \label{{tab:{self.name}}}",
        ]
        lines += [rf"  \begin{{tabular}}{{{kinds}}}", r"    \toprule"]
        lines += ["    " + " & ".join(map(_latex, self.columns)) + r" \\", r"    \midrule"]
        lines += ["    " + " & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in self.rows]
        return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]) + "\n"

    def to_csv(self) -> str:
        """Return comma-separated values in full precision; an estimate takes three columns."""
        estimates = {index for row in self.rows for index, cell in enumerate(row) if isinstance(cell, Estimate)}
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            [name for index, column in enumerate(self.columns) for name in _names(column, index in estimates)]
        )
        for row in self.rows:
            writer.writerow([part for index, cell in enumerate(row) for part in _parts(cell, index in estimates)])
        return stream.getvalue()

    def write(self, folder: Path) -> None:
        """Write all three forms into a folder. Raises OSError."""
        for suffix, content in (("md", self.to_markdown()), ("tex", self.to_latex()), ("csv", self.to_csv())):
            write_atomically(folder / f"{self.name}.{suffix}", content)

    def is_numeric(self, index: int) -> bool:
        """Whether a column holds numbers, so that it is aligned to the right."""
        cells = [row[index] for row in self.rows if row[index] is not None]
        return bool(cells) and not any(isinstance(cell, str) for cell in cells)


def text(cell: Cell) -> str:
    """Return a cell as it is read: `0.41 [0.35, 0.47]` for an estimate."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate) and not cell.has_interval:
        return number(cell.value)
    if isinstance(cell, Estimate):
        digits = _digits(cell)
        return f"{_fixed(cell.value, digits)} [{_fixed(cell.low, digits)}, {_fixed(cell.high, digits)}]"
    if isinstance(cell, bool):
        return str(cell).lower()
    return number(cell) if isinstance(cell, float) else str(cell)


def number(value: float) -> str:
    """Return a number with four digits that matter."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.4g}"


def _digits(cell: Estimate) -> int | None:
    """Decimals such that the width of the interval has two digits; None for numbers best written with an exponent."""
    largest = max(abs(cell.value), abs(cell.low), abs(cell.high))
    if not math.isfinite(largest) or largest >= 1e7 or 0 < largest < 1e-4:
        return None
    width = cell.high - cell.low
    size = width if width > 0 else largest
    return 0 if size == 0 else min(6, max(0, 1 - math.floor(math.log10(size)) + (0 if width > 0 else 2)))


def _fixed(value: float, digits: int | None) -> str:
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def _markdown_cell(cell: Cell) -> str:
    return markdown(text(cell)) if isinstance(cell, str) else text(cell)


def markdown(value: str) -> str:
    """Return text as Markdown shows it, on one line."""
    for character in "\\`*|<[":
        value = value.replace(character, f"\\{character}")
    return " ".join(value.splitlines())


def _latex(value: str) -> str:
    return "".join(_LATEX.get(character, character) for character in value)


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell, Estimate):
        value, _, interval = text(cell).partition(" ")
        return rf"${value}$" + (rf" {{\small ${interval}$}}" if interval else "")
    return (
        f"${text(cell)}$"
        if isinstance(cell, float) and math.isfinite(cell) and "e" not in text(cell)
        else _latex(text(cell))
    )


def _names(column: str, is_estimate: bool) -> list[str]:
    column = _no_formula(column)
    return [column, f"{column} low", f"{column} high"] if is_estimate else [column]


def _parts(cell: Cell, is_estimate: bool) -> list[object]:
    if isinstance(cell, Estimate):
        return [cell.value, cell.low, cell.high] if cell.has_interval else [cell.value, "", ""]
    plain: object = _no_formula(cell) if isinstance(cell, str) else cell
    if cell is None or isinstance(cell, bool):
        plain = text(cell)
    return [plain, *(["", ""] if is_estimate else [])]


def without_quote(value: str) -> str:
    """Return text of a CSV file without the quote that keeps spreadsheets from computing it, see `Table.to_csv`."""
    return value[1:] if value.startswith("'") and _no_formula(value[1:]) == value else value


def _no_formula(value: str) -> str:
    """Return text such that a spreadsheet takes it for text: what begins like a formula would be computed."""
    if not value.lstrip().startswith(("=", "+", "-", "@")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
