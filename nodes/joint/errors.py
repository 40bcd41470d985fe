"""What the joint room refuses on purpose, with codes that journals, ledgers and tests tell apart. Pure.

TooRevealing (PolicyRefused)        one party's columns would show single rows: merge categories, drop columns, add rows
BadPeer      (VerificationFailed)   what another party sent is not what it agreed to
"""

from __future__ import annotations

from schemas.errors import PolicyRefused, VerificationFailed


class TooRevealing(PolicyRefused):
    """A result would rest on too few rows. The message names counts and bounds, never values."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class BadPeer(VerificationFailed):
    """What another party sent is refused: it must do its part again, as agreed."""
