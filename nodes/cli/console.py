"""Where output goes: results to stdout, everything else to stderr; text or one JSON value."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

WIDTH_IN_FILES: Final = 160
SHOWN_NAMES: Final = 10


class Output:
    """What a command says. With `as_json`, `result` prints the one JSON value and `text` prints nothing."""

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - commands that print nothing start quicker

        self.as_json = as_json
        self._out: RichConsole = Console(highlight=False, soft_wrap=True, width=_width(sys.stdout))
        self.progress: RichConsole = Console(stderr=True, highlight=False, soft_wrap=True, width=_width(sys.stderr))

    def text(self, *parts: str | Table) -> None:
        """A part of the result, for people."""
        if not self.as_json:
            for part in parts:
                self._out.print(part, markup=False)

    def result(self, value: Any) -> None:
        """The result, for programs."""
        if self.as_json:
            sys.stdout.write(to_json(value) + "\n")
            sys.stdout.flush()

    def note(self, line: str) -> None:
        """Progress, on stderr."""
        self.progress.print(line, markup=False)


def to_json(value: Any) -> str:
    """JSON of plain values, dataclasses and structs; paths become text."""
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(value, enc_hook=str).decode()


def table(title: str, *columns: str) -> Table:
    """An empty table; columns whose name begins with `#` hold numbers."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    return made


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are if that is not all."""
    shown = ", ".join(names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown}, … ({len(names):,})"


def numbers(count: int) -> str:
    """Of each row."""
    return f"{count:,} number{'' if count == 1 else 's'} per row"


def _width(stream: TextIO) -> int | None:
    """A terminal's own width; in files and pipes tables may be wide."""
    return None if stream.isatty() else WIDTH_IN_FILES
