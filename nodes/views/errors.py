"""What views raise.

BadConfig
 └── UnknownJob   a job that this node has never heard of
"""

from __future__ import annotations

from schemas.errors import BadConfig


class UnknownJob(BadConfig):
    """There is no such job at this node."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id} here; `sublet job list` shows those there are", field="job")
