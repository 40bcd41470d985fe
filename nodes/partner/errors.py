"""Errors of the partner's own.

SubletError
 └── PartGone   the part, or a round of it, is over
"""

from __future__ import annotations

from schemas.errors import SubletError


class PartGone(SubletError):  # noqa: N818 - reads as the sentence it is
    """The part, or the round, is over: what was to be done for it is of no use any more."""
