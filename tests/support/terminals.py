"""The command line in a terminal of a given size, and what stands on its screen afterwards."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from nodes.cli.main import main

ROOT: Final = Path(__file__).parents[2]
LINES: Final = 24
SECONDS_MAX: Final = 120.0
COMMAND: Final = "import sys; from nodes.cli.main import main; sys.exit(main())"
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-B0-2]|\x1b\][^\x07]*\x07")
_ID: Final = re.compile(r"(?<![\w-])(?:job|contract|order|sell|subtask|worker)-([0-9a-f]+)(?!\w)")
ID_DIGITS: Final = 24


def captured(arguments: Sequence[str], columns: int, environment: Mapping[str, str] | None = None) -> list[str]:
    """Lines of stdout of a command whose stdout is a terminal with so many columns; stderr goes nowhere."""
    near, far = pty.openpty()
    fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    given = inherited | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | dict(environment or {})
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stdout=far, stderr=subprocess.DEVNULL, env=given
    ) as running:
        os.close(far)
        raw = b"".join(_read(near))
        assert running.wait(SECONDS_MAX) == 0, raw.decode()
    os.close(near)
    return _CONTROL.sub("", raw.decode()).replace("\r\n", "\n").split("\n")[:-1]


class Terminal(io.StringIO):
    """A stream that says it is one; its width is that of the environment's COLUMNS."""

    def isatty(self) -> bool:
        return True


def printed(arguments: Sequence[str], columns: int | None, patch: pytest.MonkeyPatch) -> list[str]:
    """Lines of stdout of a command in this process, on a terminal with so many columns; None: in a pipe."""
    stream = io.StringIO() if columns is None else Terminal()
    with patch.context() as given:
        given.setenv("COLUMNS", str(columns or 0))
        given.setattr(sys, "stdout", stream)
        assert main(arguments) == 0
    return stream.getvalue().split("\n")[:-1]


def faults(lines: Sequence[str], columns: int) -> list[str]:
    """Lines that are wider than the terminal, and ids that are not whole."""
    found = [f"wide: {line}" for line in lines if len(line) > columns]
    return found + [f"cut: {line}" for line in lines for each in _ID.findall(line) if len(each) != ID_DIGITS]


def screens(lines: Sequence[str]) -> list[int]:
    """How many lines there are under each headline, and before the first."""
    parts = re.split(r"\n(?=[^\n]* ─{3,}\n)", "\n".join(lines))
    return [part.count("\n") + 1 for part in parts]


def _read(near: int) -> list[bytes]:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(near, 65536)
        except OSError:  # the other side is closed (Linux)
            return parts
        if not part:
            return parts
        parts.append(part)
