"""Tables that can be read on a terminal of 80 columns.

Belongs here: how a table is printed.  Does not belong here: what it holds.
"""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from contimg_assets.cli.common import console

if TYPE_CHECKING:
    from rich.table import Column, Table

#: Columns that a folded column has at least, and that borders and padding take for each column.
_FOLDED, _BORDER = 16, 3


def show(table: "Table") -> None:
    """Print a table, or, where nothing of it could stay whole, its rows as paragraphs.

    A value that is cut short is of no use: a key names no group, a version none.  Columns with the overflow
    ``fold`` are of running text and may take several lines.
    """
    out = console()
    columns = list(table.columns)
    if sum(_width(column) + _BORDER for column in columns) + 1 <= out.width:
        for column in columns:
            column.no_wrap = column.overflow != "fold"
        out.print(table)
        return
    if table.title:
        out.print(table.title, style="bold", highlight=False)
    indent = max((cell_len(str(column.header)) for column in columns), default=0)
    for row in zip(*(column.cells for column in columns), strict=True):
        for number, (column, cell) in enumerate(zip(columns, row, strict=True)):
            for line in _plain(cell).splitlines():
                mark = "- " if number == 0 else "  "
                out.print(
                    f"{mark}{column.header!s:{indent}}  {line}", markup=False, highlight=False, soft_wrap=True
                )


def _width(column: "Column") -> int:
    """Width of the longest line of a column, or what it can do with."""
    texts = [str(column.header), *(_plain(cell) for cell in column.cells)]
    longest = max(cell_len(line) for text in texts for line in [*text.splitlines(), ""])
    return min(longest, _FOLDED) if column.overflow == "fold" else longest


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
