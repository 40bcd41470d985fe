"""Tasks that end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None, and it is cancelled, when `stop` is set before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait([working, stopping])
    return None if working.cancelled() else working.result()


async def together(stop: asyncio.Event, until: Coroutine[Any, Any, Any], *beside: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; then `stop` is set, `until` ends by it, and what runs beside it is cancelled."""
    ending, tasks = asyncio.create_task(until), [asyncio.create_task(each) for each in beside]
    try:
        await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(ending, *tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
