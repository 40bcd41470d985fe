"""What all quoting services share: tries that are bounded, and errors that end them.

A blob counts only when it holds the very report data that was asked for. So neither another process that asks at the
same time nor a confused kernel can make this host send evidence of something else.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from nodes.enclave.errors import NoEvidence, Rejected

T = TypeVar("T")

ATTEMPTS_MAX: Final = 4
BLOB_BYTES_MAX: Final = 16 * 1024
AUX_BYTES_MAX: Final = 44 * 1024
REPORT_DATA_BYTES: Final = 64
PASSING: Final = frozenset({errno.EBUSY, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.EEXIST})
"""Errors after which asking again is worth it. Quoting is rare and the kernel waits itself: there is no pause."""

Collateral = Callable[[], bytes]
"""Certificates or collateral that this host's owner keeps at hand; empty bytes when there are none."""


def no_collateral() -> bytes:
    """A host without any."""
    return b""


class Conflict(Exception):  # noqa: N818
    """Somebody else asked in between. Ask again."""


def checked_request(report_data: bytes, *, debug: bool) -> None:
    """Whether hardware can vouch for this.

    Raises:
        NoEvidence: report data of another size, or a child that is not fully locked down.
    """
    if len(report_data) != REPORT_DATA_BYTES:
        raise NoEvidence(f"report data have {REPORT_DATA_BYTES} bytes, not {len(report_data)}")
    if debug:
        raise NoEvidence("the child is not fully locked down, which hardware evidence could not say")


def persist(attempt: Callable[[], T], where: str) -> T:
    """The result of the first attempt that meets neither a conflict nor a passing error.

    Raises:
        NoEvidence: another error, or `ATTEMPTS_MAX` attempts were in vain.
    """
    reason = ""
    for _ in range(ATTEMPTS_MAX):
        try:
            return attempt()
        except Conflict as error:
            reason = str(error)
        except Rejected as error:
            raise NoEvidence(f"{where} gave what is no evidence: {error}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno not in PASSING:
                raise NoEvidence(f"{where}: {reason}") from error
    raise NoEvidence(f"{where}: {reason}, {ATTEMPTS_MAX} times")


def same_report_data(found: bytes, asked: bytes) -> None:
    """Whether the blob is the answer to our question.

    Raises:
        Conflict: it is somebody else's.
    """
    if found != asked:
        raise Conflict("the report is about other report data")


def bounded(raw: bytes, bytes_max: int, name: str) -> bytes:
    """The bytes, when they are not too many.

    Raises:
        NoEvidence: they are.
    """
    if len(raw) > bytes_max:
        raise NoEvidence(f"{name} has more than {bytes_max} bytes")
    return raw
