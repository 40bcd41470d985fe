"""What can go wrong in a crew.

SubletError
 ├── HandLost     the process that worked on a task ended: the task may have killed it, or the machine's memory
 └── TaskFailed   the task raised something unforeseen: a defect of ours
"""

from __future__ import annotations

from schemas.errors import SubletError


class HandLost(SubletError):  # noqa: N818
    """The process ended while it worked; another takes its place. Whoever sent foreign bytes in may be the cause."""


class TaskFailed(SubletError):  # noqa: N818
    """The task raised an exception, whose traceback is the message. It names code, never values."""
