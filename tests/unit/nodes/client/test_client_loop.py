"""The loop behind plain calls: interrupts at every moment, time limits, and ends while somebody waits."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

import sublet
from nodes.client import loop as loops
from nodes.client.loop import Loop

WAIT_SECONDS = 60
MOMENTS = 100
"""More than there are from a call to the second time that the waiting thread looks around."""


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Wait:
    """Work that ends when it is cancelled, or never."""

    def __init__(self, *, interrupts: bool = False) -> None:
        self.begun, self.cancelled = threading.Event(), threading.Event()
        self._interrupts = interrupts

    async def __call__(self) -> None:
        self.begun.set()
        if self._interrupts:
            os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def nothing() -> None:
    """Takes a turn of the loop."""


def is_over(loop: Loop, wait: Wait) -> bool:
    """Whether it was cancelled, before it began or after; what was cancelled ends a turn later."""
    loop.run(nothing())
    loop.run(nothing())
    return wait.begun.is_set() == wait.cancelled.is_set()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in a terminal: what a shell starts in the background ignores interrupts, and its children with it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_whoever_interrupts_a_wait_gets_the_prompt_back_and_the_wait_is_cancelled(loop: Loop) -> None:
    wait = Wait(interrupts=True)
    with pytest.raises(KeyboardInterrupt):
        loop.run(wait())
    assert wait.cancelled.wait(WAIT_SECONDS)


def test_an_interrupt_at_any_moment_leaves_nothing_running(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each line, call and return of the calling thread, whether or not Python looks for signals there."""
    monkeypatch.setattr(loops, "UNHEARD_SECONDS_MAX", 0.001)
    begun = 0
    for moment in range(MOMENTS):
        wait = Wait()
        work = wait()
        with pytest.raises(KeyboardInterrupt), interrupted(moment):
            loop.run(work)
        assert is_over(loop, wait)
        assert inspect.getcoroutinestate(work) != inspect.CORO_SUSPENDED
        begun += wait.begun.is_set()
        work.close()
    assert 0 < begun < MOMENTS


class interrupted:  # noqa: N801 - as a function it would be traced itself
    """The calling thread is interrupted at the nth line, call or return of what it calls from here."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._traced)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _traced(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code is not interrupted.__exit__.__code__:
            if self._left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            self._left -= 1
        return self._traced


def test_work_that_takes_longer_than_it_may_is_cancelled(loop: Loop) -> None:
    wait = Wait()
    with pytest.raises(TimeoutError, match=r"longer than 0.01 s"):
        loop.run(wait(), timeout=0.01)
    assert is_over(loop, wait)


def test_who_waits_while_the_loop_is_closed_is_told(loop: Loop) -> None:
    wait, told = Wait(), list[BaseException]()

    def waiting() -> None:
        try:
            loop.run(wait())
        except sublet.NetworkClosed as error:
            told.append(error)

    thread = threading.Thread(target=waiting)
    thread.start()
    assert wait.begun.wait(WAIT_SECONDS)
    loop.close()
    thread.join(WAIT_SECONDS)
    assert len(told) == 1
    assert wait.cancelled.is_set()


def test_a_closed_loop_begins_nothing(loop: Loop) -> None:
    loop.close()
    loop.close()
    wait = Wait()
    loop.start(wait())
    with pytest.raises(sublet.NetworkClosed, match=r"open another with sublet.connect or sublet.local"):
        loop.run(wait())
    assert not wait.begun.is_set()
