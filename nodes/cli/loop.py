"""How a command starts and runs. What it needs is imported only then: others, and help, start quicker."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from nodes.allocator import share_heap
from nodes.process import leave_no_core

if TYPE_CHECKING:
    from nodes.cli.console import Output

T = TypeVar("T")


def quiet_output(*, as_json: bool) -> Output:
    """Where output goes, of a command that shows itself what goes on: only warnings are logged."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.cli.logs import configure_logs  # noqa: PLC0415

    configure_logs("warning")
    return Output(as_json=as_json)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. KeyboardInterrupt cancels it and is raised after it has cleaned up.

    No core file is left of a process that had keys.
    """
    import asyncio  # noqa: PLC0415

    share_heap()
    leave_no_core()
    return asyncio.run(work)
