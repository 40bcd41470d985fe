"""What a job's results are called and stand for: a small file in its folder, which labels' texts never leave."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from nodes.whole import write_whole
from schemas.errors import JobFailed
from schemas.jobs import CutNote

_FILE: Final = "outputs.json"


class Outputs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job's results: their names, which are whole numbers and the texts that these stand for, and the cut."""

    names: tuple[str, ...]
    whole: dict[int, tuple[str, ...]]
    """By column of the result; no texts where they are numbers."""
    cut: CutNote | None = None


def write(folder: Path, outputs: Outputs) -> None:
    """Put it into a job's folder."""
    write_whole(folder / _FILE, msgspec.json.encode(outputs))


def read(folder: Path) -> Outputs:
    """It, from a job's folder.

    Raises:
        JobFailed: it is not there, or damaged.
    """
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Outputs)
    except (OSError, msgspec.MsgspecError) as error:
        raise JobFailed(f"the job's {_FILE} is gone or damaged; submit the job again") from error
