"""What views raise.

BadConfig
 └── UnknownId        an id that this node does not know, or a beginning of several
      └── UnknownJob  a job that this node has never heard of
"""

from __future__ import annotations

from schemas.errors import BadConfig


class UnknownId(BadConfig):
    """What was asked for is not here, or is not one thing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="id")


class UnknownJob(UnknownId):
    """There is no such job at this node."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id} here; `sublet job list` shows those there are")
        self.field = "job"
