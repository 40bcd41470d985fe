"""Where output goes: results to stdout, everything else to stderr; text or one JSON value."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from nodes.cli.tables import Table, wrapped

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

SHOWN_NAMES: Final = 10
WIDTH_MAX: Final = 120
"""Text is not read better in wider lines."""


class Output:
    """What a command says. With `as_json`, `result` prints the one JSON value and `text` prints nothing."""

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console  # noqa: PLC0415 - commands that print nothing start quicker

        self.as_json = as_json
        self.progress: RichConsole = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

    @property
    def width(self) -> int | None:
        """Of the terminal on which results are read; None where they go to a file or pipe."""
        return _width(sys.stdout)

    def text(self, *parts: str | Table) -> None:
        """A part of the result, for people."""
        if not self.as_json:
            _write(sys.stdout, parts)

    def more(self, count: int, limit: int) -> None:
        """That a list has more than `limit` lines; 0 is all."""
        if 0 < limit < count:
            self.text(f"the first {limit:,}; --limit 0 shows all")

    def aside(self, *parts: str | Table) -> None:
        """A report for people, on stderr: stdout has rows or JSON."""
        _write(sys.stderr, parts)

    def result(self, value: Any) -> None:
        """The result, for programs."""
        if self.as_json:
            sys.stdout.write(to_json(value) + "\n")
            sys.stdout.flush()

    def note(self, line: str) -> None:
        """Progress, on stderr."""
        for each in wrapped(line, _width(sys.stderr)):
            self.progress.print(each, markup=False)


def to_json(value: Any) -> str:
    """JSON of plain values, dataclasses and structs; paths become text."""
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(value, enc_hook=str).decode()


def table(title: str, *columns: str, drops: Sequence[str] = ()) -> Table:
    """An empty table; see `Table`."""
    return Table(title, columns, tuple(drops))


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are if that is not all."""
    shown = ", ".join(names[:SHOWN_NAMES])
    return shown if len(names) <= SHOWN_NAMES else f"{shown}, … ({len(names):,})"


def numbers(count: int) -> str:
    """Of each row."""
    return f"{count:,} number{'' if count == 1 else 's'} per row"


def _write(stream: TextIO, parts: Sequence[str | Table]) -> None:
    width = _width(stream)
    for part in parts:
        lines = part.lines(width) if isinstance(part, Table) else _lines(part, width)
        stream.writelines(f"{line}\n" for line in lines)
    stream.flush()


def _lines(text: str, width: int | None) -> list[str]:
    return [each for line in text.split("\n") for each in wrapped(line, width) or [""]]


def _width(stream: TextIO) -> int | None:
    """A terminal's; lines in files and pipes are as long as they are."""
    return min(shutil.get_terminal_size().columns, WIDTH_MAX) if stream.isatty() else None
