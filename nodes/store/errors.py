"""Errors of the store: what a node keeps cannot be read or written. Not about any event's content."""

from __future__ import annotations

from schemas.errors import BadConfig, SubletError, VerificationFailed


class StoreFailed(SubletError):  # noqa: N818 - reads as the sentence it is
    """The store could not carry out a transaction (disk full, locked too long, file damaged); nothing was changed."""


class ServerFailed(StoreFailed):
    """The store's database server could not be reached, or did not do it; nothing was changed. No disk is here."""


class StoreClosed(SubletError):  # noqa: N818
    """The store was closed before this was asked."""


class StoreOfAnotherFormat(BadConfig):
    """What lies where the store should be is not one that this release wrote. It was not touched."""

    def __init__(self, where: object, what: str, instead: str, *, field: str = "data_dir") -> None:
        """`instead` says what to do: how to start anew."""
        super().__init__(f"{where} is {what}, not a store of this release: {instead}; nothing was changed", field=field)


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
