"""Errors of the renter's own.

SubletError
 ├── BadInput
 │    ├── OtherFormat   a job folder that another release wrote
 │    └── BadData
 │         └── FilesGone  files of a job that are not in its folder
 └── JobGone            the job ended, and its keys with it
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nodes.identity import UnsealFailed
from nodes.store.errors import BlobDamaged
from schemas.errors import BadData, BadInput, SubletError


class OtherFormat(BadInput):
    """A job folder is not of the format that this release reads and writes."""

    code = "other-format"

    def __init__(self, folder: Path, found: str, known: str) -> None:
        super().__init__(
            f"{folder} is a job folder of format {found[:16]!r}, not {known!r} as of this release: move the folder "
            f"{folder.parent.parent.absolute()} away to start anew, or run the program that wrote it; "
            "nothing was changed"
        )


class FilesGone(BadData):
    """The job's folder, or a file in it, is not here."""

    code = "no-file"


class JobGone(SubletError):  # noqa: N818 - reads as the sentence it is
    """What was to be done for a job is of no use any more: it is not here, or it ended and its keys were erased."""


OWN_FAULTS: Final = (BadInput, UnsealFailed, BlobDamaged)
"""What is wrong with the renter's own rows, programs or keys: it ends the job, and is never held against a lessor."""
