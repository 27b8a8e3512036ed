"""Tables of the analysis on a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from pamiq_exp.analysis import Table
from pamiq_exp.analysis.tables import text
from pamiq_exp.formatting import printable


def rich_table(table: Table) -> RichTable:
    """Return a table as it is shown on a terminal, columns with numbers to the right."""
    shown = RichTable(
        title=f"\n{table.title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for index, column in enumerate(table.columns):
        numbers = any(isinstance(row[index], int | float) for row in table.rows)
        style = "cyan" if index == 0 else ""
        shown.add_column(column, justify="right" if numbers else "left", overflow="fold", style=style)
    for row in table.rows:
        shown.add_row(*(Text(printable(text(cell))) for cell in row))
    return shown
