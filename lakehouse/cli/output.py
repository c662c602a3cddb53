"""How values look on a terminal of 80 columns.

Here belongs formatting only. Nothing here reads a file or decides anything.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def examples(*commands: str) -> str:
    """The end of a command's help: commands to copy, each on its own line."""
    # The control character keeps click from flowing the lines together.
    return "\n".join(["\b", "Examples:", *(f"  {command}" for command in commands)])


def make_console(*, stderr: bool = False) -> "Console":
    """A console as wide as the terminal, and 80 columns where there is none."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else WIDTH, highlight=False, soft_wrap=False
    )


def print_table(
    console: "Console",
    columns: Mapping[str, str],
    rows: Iterable[Sequence[object]],
    *,
    has_total: bool = False,
) -> None:
    """Print a table without lines between its cells.

    Args:
        console: Where to.
        columns: Heading to ``left`` or ``right``.
        rows: Cells; numbers get thousands separators, None becomes a dash.
        has_total: Whether the last row is the sum of the others.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading, side in columns.items():
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    cells = [[_cell(value) for value in row] for row in rows]
    for number, row in enumerate(cells, start=1):
        table.add_row(*row, end_section=has_total and number == len(cells) - 1)
    console.print(table)


def print_json(value: object) -> None:
    """Print a value, dataclasses and times included, as JSON."""
    sys.stdout.write(json.dumps(value, default=_plain, indent=2, ensure_ascii=False) + "\n")


def bytes_text(count: int) -> str:
    """A size for people: three significant digits and a decimal unit."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    digits = 0 if unit == 0 or size >= 100 else 1
    return f"{size:.{digits}f} {_UNITS[unit]}"


def age_text(moment: datetime) -> str:
    """How long ago a moment was, in its largest unit."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0.0)
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name} ago"
    return f"{seconds:.0f} s ago"


def seconds_text(seconds: float) -> str:
    """A duration: tenths of a second below a minute, minutes and seconds above."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def moment_text(moment: datetime) -> str:
    """A moment in UTC to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _plain(value: Any) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
