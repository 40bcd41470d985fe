"""A journal in words: per event a line, and below it what was refused, decided, sent and started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

INDENT: Final = " " * 13
"""As wide as the time before an event."""


def explanation(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of `nodes.views.journal.explain` for people; times count from the first event."""
    start = lines[0]["time"]
    for line in lines:
        yield f"{line['time'] - start:+9.3f} s  {line['type']}  from {line['from']}"
        if line["refused"]:
            yield f"{INDENT}refused: {', '.join(line['refused'])}"
        for note in line["notes"]:
            yield from _note(note)
        for verb in ("sent", "started"):
            for name, times in Counter(line[verb]).items():
                yield f"{INDENT}{verb} {name}" + (f" ×{times}" if times > 1 else "")


def _note(note: Mapping[str, Any]) -> Iterator[str]:
    """Its text with its plain details; a detail that has details itself on a line of its own."""
    details: Mapping[str, Any] = note["details"]
    numbers = _numbers({name: value for name, value in details.items() if not isinstance(value, (dict, list))})
    yield f"{INDENT}{note['kind']}: {note['text']}" + (f" ({numbers})" if numbers else "")
    for name, value in details.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                yield f"{INDENT}  {name}: {_numbers(each)}"


def _numbers(details: Mapping[str, Any], prefix: str = "") -> str:
    """Names and values in one line; what a value holds itself gets both names."""
    return ", ".join(
        _numbers(value, f"{prefix}{name}.") if isinstance(value, dict) else f"{prefix}{name}={_number(value)}"
        for name, value in details.items()
        if value is not None
    )


def _number(value: Any) -> str:
    if isinstance(value, list):
        return msgspec.json.encode(value).decode()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
