"""Calls to work: heard once, and no cancellation is lost to one that comes at the same time."""

from __future__ import annotations

import asyncio

import pytest

from nodes.runtime.quiet import Quiet, Wake


async def test_a_call_ends_the_wait_and_is_not_quiet_until_it_is_served() -> None:
    quiet = Quiet()
    wake = Wake(quiet)
    wake.set()
    await wake.wait(60.0)
    assert not quiet.now
    wake.served()
    assert quiet.now


async def test_without_a_call_the_wait_ends_by_itself() -> None:
    await Wake(Quiet()).wait(0.0)


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_cancelled_while_a_call_comes_ends(turns: int) -> None:
    wake = Wake(Quiet())
    waiting = asyncio.create_task(wake.wait(60.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
