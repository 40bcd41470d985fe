"""What can go wrong at a lessor's worker.

SubletError
 ├── SessionRefused   the renter, or this lessor's own checks, refuse a subtask: final for this worker
 ├── SessionLate      the renter did not answer in time: the batch is tried again
 └── BatchRefused     this batch cannot be computed; `final` when it would fail everywhere the same
"""

from __future__ import annotations

from schemas.errors import SubletError


class SessionRefused(SubletError):  # noqa: N818
    """The subtask is not computed here; `code` says why in kebab-case."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class SessionLate(SubletError):  # noqa: N818
    """Terms, program or key did not arrive in time."""


class BatchRefused(SubletError):  # noqa: N818
    """This batch cannot be computed."""

    def __init__(self, code: str, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.code = code
        self.final = final
