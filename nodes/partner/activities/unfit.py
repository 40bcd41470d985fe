"""Why a request cannot be served."""

from __future__ import annotations


class Unfit(Exception):  # noqa: N818 - reads as the sentence it is
    """A request cannot be served; the reason is for the renter, and tells nothing of the data."""

    def __init__(self, code: str, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.detail = detail
        """For this partner's own journal."""
