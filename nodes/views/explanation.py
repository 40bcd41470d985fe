"""A journal in words: what was decided and why, on a screen; or every event with all its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final

import msgspec

from schemas import money

INDENT: Final = " " * 13
"""As wide as the time before an event."""
KIB: Final = 1024
MILLI: Final = 1e-3
NUMBERS_ONLY: Final = frozenset({"predictions"})
"""Kinds of notes whose text says nothing without their numbers."""
Line = Mapping[str, Any]


def summary(lines: Sequence[Line]) -> Iterator[str]:
    """The lines of `nodes.views.journal.explain` for people in a hurry; times count from the first event.

    What is refused or decided has a line of its own; equal ones that follow each other have one together, and so has
    everything that happened in between.
    """
    start = lines[0]["time"]
    for said, group in groupby(lines, key=_said):
        found = list(group)
        if said:
            for at, text in enumerate(said):
                times = f" ×{len(found)}" if len(found) > 1 and at == 0 else ""
                yield (_at(found[0], start) if at == 0 else INDENT) + text + times
        else:
            yield _at(found[0], start) + ", ".join(_counted(each["type"] for each in found))


def explanation(lines: Sequence[Line]) -> Iterator[str]:
    """The same lines with everything that they say; equal events that follow each other have one line together."""
    start = lines[0]["time"]
    for _, group in groupby(lines, key=lambda line: {**line, "time": 0.0}):
        line, *more = group
        times = f" ×{len(more) + 1}" if more else ""
        yield f"{_at(line, start)}{line['type']}  from {line['from']}{times}"
        if line["refused"]:
            yield f"{INDENT}refused: {', '.join(line['refused'])}"
        for note in line["notes"]:
            yield from _note(note)
        for verb in ("sent", "started"):
            for each in _counted(line[verb]):
                yield f"{INDENT}{verb} {each}"


def _said(line: Line) -> tuple[str, ...]:
    """What an event decided, in words; nothing of one that only went its way."""
    refused = [f"{line['type']} from {line['from']} refused: {', '.join(line['refused'])}"] if line["refused"] else []
    notes = [each for each in line["notes"] if each["kind"] not in NUMBERS_ONLY]
    return (*refused, *(f"{each['kind']}: {each['text']}" for each in notes))


def _at(line: Line, start: float) -> str:
    return f"{line['time'] - start:+9.3f} s  "


def _counted(names: Iterable[str]) -> Iterator[str]:
    for name, times in Counter(names).items():
        yield f"{name} ×{times}" if times > 1 else name


def _note(note: Mapping[str, Any]) -> Iterator[str]:
    """Its text with its plain details; a detail that has details itself on a line of its own."""
    details: Mapping[str, Any] = note["details"]
    numbers = _numbers({name: value for name, value in details.items() if not isinstance(value, (dict, list))})
    yield f"{INDENT}{note['kind']}: {note['text']}" + (f" ({numbers})" if numbers else "")
    for name, value in details.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield f"{INDENT}  {name}: {_numbers(each, unit=name)}"


def _numbers(details: Mapping[str, Any], prefix: str = "", unit: str = "") -> str:
    """Names and values in one line; what a value holds itself gets both names, and the unit of the outer one."""
    return ", ".join(
        _numbers(value, f"{prefix}{name}.", name)
        if isinstance(value, dict)
        else f"{prefix}{name}={_number(unit if _unit(unit) and name != 'ratio' else name, value)}"
        for name, value in details.items()
        if value is not None
    )


def _unit(name: str) -> str:
    return next((each for each in name.split("_") if each in UNITS), "")


def _number(name: str, value: Any) -> str:
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    shown = UNITS.get(_unit(name))
    return shown(value) if shown else f"{value:.6g}" if isinstance(value, float) else f"{value:,}"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if not seconds or seconds >= 1 else f"{seconds / MILLI:.3g} ms"


def _size(value: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if value < KIB:
            return f"{value:.3g} {unit}"
        value /= KIB
    return f"{value:.3g} GiB"


UNITS: Final[Mapping[str, Callable[[float], str]]] = MappingProxyType(
    {
        "seconds": _time,
        "bytes": _size,
        "micros": lambda value: money.shown(round(value)),
        "mib": lambda value: f"{value:,.6g} MiB",
    }
)
"""By which part of a name its numbers are told: every name of ours says it."""
