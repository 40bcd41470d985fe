"""The process behind one hand of a crew: reads requests from its standard input, answers on its standard output.

Ends when the input ends, and in the middle of a task too: with the process that started it, and when the task takes too
long. Runs one task at a time. Requests are pickles, for they come from its own parent; answers are MessagePack, for a
task may have been subverted by a stranger's bytes.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from nodes.process import end_with, leave_no_core

KITS_KEPT: Final = 8
"""Of the jobs that a process worked for last."""
LENGTH: Final = struct.Struct(">Q")
"""Before every answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """Call `task(kit, *args)`; without a task, forget the kit."""

    task: Callable[..., Any] | None
    name: bytes = field(repr=False)
    """Of the kit."""
    kit: bytes = field(default=b"", repr=False)
    args: tuple[Any, ...] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Answer(Struct, frozen=True):
    """What a task returned, as MessagePack, and the processor time it took on one core, with unpacking its kit.

    `failed`, if not empty, is where it raised an exception instead.
    """

    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    core_seconds: float = 0.0
    failed: str = ""


@dataclass(slots=True)
class Kits:
    """The kits that this process has unpacked, those used last."""

    _kept: OrderedDict[bytes, Any] = field(default_factory=OrderedDict, repr=False)

    def unpacked(self, name: bytes, packed: bytes) -> Any:
        """The content of the kit of this name, the same object each time."""
        if name not in self._kept:
            self._kept[name] = pickle.loads(packed)  # noqa: S301 - of the parent
        self._kept.move_to_end(name)
        while len(self._kept) > KITS_KEPT:
            self._kept.popitem(last=False)
        return self._kept[name]

    def forget(self, name: bytes) -> None:
        """Drop a kit, if it is there."""
        self._kept.pop(name, None)


def serve(requests: BinaryIO, answers: BinaryIO, *, task_seconds_max: float) -> None:
    """Answer requests until there are no more; a task that takes longer ends the process."""
    kits = Kits()
    while True:
        try:
            request: Request = pickle.load(requests)  # noqa: S301 - of the parent
        except EOFError:
            return
        if request.task is None:
            kits.forget(request.name)
            answer = Answer()
        else:
            signal.setitimer(signal.ITIMER_REAL, task_seconds_max)
            answer = _done(request, kits)
            signal.setitimer(signal.ITIMER_REAL, 0)
        raw = msgspec.msgpack.encode(answer)
        answers.write(LENGTH.pack(len(raw)) + raw)
        answers.flush()


def _done(request: Request, kits: Kits) -> Answer:
    assert request.task is not None
    start = time.process_time()
    try:
        result = request.task(kits.unpacked(request.name, request.kit), *request.args, **request.kwargs)
        raw = msgspec.Raw(msgspec.msgpack.encode(result))
    except Exception as error:
        return Answer(failed=_without_values(error))
    return Answer(raw, time.process_time() - start)


def _without_values(error: Exception) -> str:
    """Where it was raised, and its type; its message might quote data."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{frames}{type(error).__name__}"


def main() -> None:
    """Keep the pipes for requests and answers; whatever else is printed goes to standard error.

    Arguments: the process id of the parent, and the seconds that a task may take; the parent kills it before.
    """
    parent, task_seconds_max = int(sys.argv[1]), float(sys.argv[2])
    end_with(parent)
    leave_no_core()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    serve(requests, answers, task_seconds_max=task_seconds_max)
