"""Errors of the store: what a node keeps cannot be read or written. Not about any event's content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.errors import BadConfig, SubletError, VerificationFailed

if TYPE_CHECKING:
    from pathlib import Path


class StoreFailed(SubletError):  # noqa: N818 - reads as the sentence it is
    """The store could not carry out a transaction (disk full, locked too long, file damaged); nothing was changed."""


class StoreClosed(SubletError):  # noqa: N818
    """The store was closed before this was asked."""


class StoreOfAnotherFormat(BadConfig):
    """The file where the store should be is not one that this release wrote. It was not touched."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(
            f"{path} is {what}, not a store of this release: move the folder {path.absolute().parent} away to start "
            "anew, or run the program that wrote it; nothing was changed",
            field="data_dir",
        )


class RecordUnreadable(SubletError):  # noqa: N818
    """A record's bytes are not what they were, or another release's. Its aggregate is lost to this node, no other is.

    `code` is the reason with which events for the aggregate are refused.
    """

    code = "record-unreadable"

    def __init__(self, aggregate: str, key: str, why: str) -> None:
        super().__init__(
            f"the record {key} of {aggregate} cannot be read ({why}): restore the store from a backup, or run the "
            "release that wrote it; the record is left as it is"
        )


class BlobMissing(StoreFailed):
    """No blob of this digest lies in the folder."""


class BlobDamaged(VerificationFailed):
    """A blob's bytes are not those its digest names; code `blob-damaged`."""
