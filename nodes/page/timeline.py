"""A job's timeline: a lane for each party, drawn in SVG whose places are shares of its width. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import htpy
from htpy import Element, Node, div, li, ol, p, span, ul

from nodes.page.parts import party_link, short
from nodes.page.words import number
from nodes.page.words import span as lasting
from nodes.views.history import History, Lane
from nodes.views.spans import Span, Spans, State

ROWS_MAX: Final = 4
"""Batches that are under way at a time are drawn below each other, in so many rows at most."""
ROW_PX: Final = 7
BATCHES_PX: Final = ROWS_MAX * ROW_PX + 2
LANE_PX: Final = BATCHES_PX + 8
"""Batches above, and below them the line on which marks stand."""
THIN_PX: Final = 14
"""Of a party that computes no batch."""
TICKS_MAX: Final = 6
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400)
"""Between ticks, seconds; shorter ones are tenths and hundredths of the first."""
STATES: Final[tuple[State, ...]] = ("done", "again", "under way", "failed", "lost")
LEGEND: Final[dict[State, str]] = {
    "done": "done",
    "again": "done at a later attempt",
    "under way": "under way",
    "failed": "failed",
    "lost": "lost with its lessor",
}
LABELS: Final = {"attester": "its enclave"}
"""Of kinds of parties that are called otherwise."""
MARK_WIDTH_MIN: Final = 0.35
"""Of a batch, in hundredths of the width."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From seconds since 1970 to hundredths of the width."""

    start: float
    end: float

    def at(self, moment: float) -> float:
        """Where a moment is."""
        return min(100.0, max(0.0, (moment - self.start) / (self.end - self.start) * 100))

    def box(self, start: float, end: float, least: float = MARK_WIDTH_MIN) -> dict[str, str]:
        """Place and width of what lasts."""
        x, width = self.at(start), max(least, self.at(end) - self.at(start))
        return {"x": _percent(min(x, 100 - width)), "width": _percent(width)}


def timeline(history: History, phase_ends: float, now: float) -> Element:
    """The whole of it; `phase_ends` is when the job ended, 0 while it goes on, `now` in seconds since 1970."""
    end = phase_ends or max(now, history.last_at)
    scale = Scale(history.began_at, max(end, history.began_at + 0.1))
    lanes = history.lanes
    return div(".timeline")[
        div(".axis", aria_hidden="true")[span, _axis(scale), span],
        ol(".lanes")[(_lane(each, history, scale, end) for each in lanes)],
        history.unlisted > 0
        and p(".note")[f"{number(history.unlisted, 'more party', 'more parties')} without a lane."],
        _legend(lanes),
    ]


def _axis(scale: Scale) -> Element:
    length = scale.end - scale.start
    step = next((each for each in _steps() if length / each <= TICKS_MAX), length / TICKS_MAX)
    moments = [number * step for number in range(int(length / step) + 1)]
    ticks = [(_percent(each / length * 100), _tick(each, each / length)) for each in moments if each / length < 0.96]
    return _svg(
        18,
        (
            (
                htpy.line(x1=x, x2=x, y1="13", y2="18", class_="tick"),
                htpy.text(x=x, y="10", class_="tick-text", text_anchor=anchor)[label],
            )
            for x, (label, anchor) in ticks
        ),
        aria_hidden="true",
    )


def _steps() -> Iterable[float]:
    yield from (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    yield from STEPS


def _tick(seconds: float, share: float) -> tuple[str, str]:
    label = f"{seconds:g} s" if seconds < 60 else lasting(seconds).removesuffix(" 0 s")
    return ("0" if not seconds else label), "start" if share < 0.02 else "middle"


def _lane(lane: Lane, history: History, scale: Scale, end: float) -> Element:
    until, said = lane.until or end, _in_words(lane)
    wide = lane.kind in ("renter", "lessor")
    height = LANE_PX if wide else THIN_PX
    line_y = height - 5 if wide else height / 2
    drawing = _svg(
        height,
        htpy.rect(y=f"{line_y - 1:g}", height="2", class_="part-of", **scale.box(lane.since, until)),
        _phases(history, scale, end) if lane.kind == "renter" else None,
        _batches(lane.spans, scale, end),
        (_mark(each.at, each.text, each.bad, scale, line_y) for each in lane.marks),
        _cross(lane.until, scale, height) if lane.lost else None,
        role="img",
        aria_label=f"{lane.name}: {said}",
    )
    who = div(".who")[_name(lane), span(".kind")[LABELS.get(lane.kind, lane.kind)]]
    return li(class_="lane", data_kind=lane.kind, data_lost="yes" if lane.lost else None)[
        who,
        div(".line")[drawing],
        div(".said")[said],
    ]


def _name(lane: Lane) -> Node:
    if lane.kind == "attester":
        return span(".id", title=lane.name)[f"{short(lane.name)}"]
    return party_link(lane.name, lane.kind)


def _in_words(lane: Lane) -> str:
    counts, open_ = lane.spans.counts, len(lane.spans.open)
    if lane.kind == "attester":
        return "lost" if lane.lost else lane.marks[-1].text if lane.marks else ""
    done = counts.get("done", 0) + counts.get("again", 0)
    told = [f"{number(done, 'batch', 'batches')} done"] if counts else []
    told += [f"{counts[state]:,} {state}" for state in ("again", "failed", "lost") if counts.get(state)]
    told += [f"{open_:,} under way"] if open_ else []
    if not told and lane.marks:
        told = [lane.marks[-1].text]
    return ", ".join((["lost"] if lane.lost and not counts.get("lost") else []) + told)


def _phases(history: History, scale: Scale, end: float) -> Iterable[Element]:
    ends = [at for _, at in history.phases[1:]] + [end]
    for (name, start), stop in zip(history.phases, ends, strict=True):
        if name in ("completed", "failed"):
            continue
        box = scale.box(start, stop, 0.1)
        yield htpy.rect(y="0", height=str(LANE_PX), class_="phase", data_phase=name, **box)[
            htpy.title[f"{name}: {lasting(stop - start)}"]
        ]
        if scale.at(stop) - scale.at(start) > 9:
            yield htpy.text(x=box["x"], dx="5", y=str(LANE_PX - 10), class_="phase-text")[name]


def _batches(spans: Spans, scale: Scale, end: float) -> Iterable[Element]:
    if spans.is_crowded:
        yield from _slots(spans, scale)
        return
    ends: list[float] = []
    for each in sorted([*spans.ended, *spans.open.values()], key=lambda one: one.start):
        row = next((number for number, free in enumerate(ends) if free <= each.start), len(ends))
        row = min(row, ROWS_MAX - 1)
        ends[row : row + 1] = [each.end or end]
        yield _batch(each, row, scale, end)


def _batch(each: Span, row: int, scale: Scale, end: float) -> Element:
    took = f"after {lasting((each.end or end) - each.start)}"
    attempt = f", attempt {each.attempt}" if each.attempt > 1 else ""
    return htpy.rect(
        y=str(1 + row * ROW_PX),
        height=str(ROW_PX - 1),
        rx="1",
        class_="batch",
        data_state=each.state,
        **scale.box(each.start, each.end or end),
    )[htpy.title[f"batch {each.batch}{attempt}: {each.state} {took}"]]


def _slots(spans: Spans, scale: Scale) -> Iterable[Element]:
    """Bars: how many batches came to which end within each slot of time."""
    most = max(sum(slot.counts.values()) for slot in spans.slots)
    for place, slot in enumerate(spans.slots):
        start = spans.origin + place * spans.slot_seconds
        box, base = scale.box(start, start + spans.slot_seconds * 0.92, 0.2), float(BATCHES_PX)
        for state in STATES:
            if count := slot.counts.get(state, 0):
                height = max(1.0, count / most * (BATCHES_PX - 2))
                base -= height
                words = f"{count:,} batches {state} within {lasting(spans.slot_seconds)}"
                yield htpy.rect(y=f"{base:.1f}", height=f"{height:.1f}", class_="batch", data_state=state, **box)[
                    htpy.title[words]
                ]


def _mark(at: float, text: str, bad: bool, scale: Scale, y: float) -> Element:
    x = _percent(min(99.6, max(0.4, scale.at(at))))
    return htpy.circle(cx=x, cy=f"{y:g}", r="3", class_="mark", data_bad="yes" if bad else None)[
        htpy.title[f"{text}, after {lasting(at - scale.start)}"]
    ]


def _cross(at: float, scale: Scale, height: int) -> Element:
    x = _percent(min(99.5, scale.at(at)))
    return htpy.line(x1=x, x2=x, y1="0", y2=str(height), class_="cut")


def _legend(lanes: Sequence[Lane]) -> Element:
    seen = {state for lane in lanes for state in lane.spans.counts} | {"under way" for lane in lanes if lane.spans.open}
    return ul(".legend", aria_label="Batches")[
        (
            li[
                htpy.svg(width="14", height="8", aria_hidden="true")[
                    htpy.rect(width="14", height="8", rx="1", class_="batch", data_state=state)
                ],
                words,
            ]
            for state, words in LEGEND.items()
            if state in seen
        )
    ]


def _svg(height: int, *content: Node, **attributes: Any) -> Element:
    return htpy.svg(width="100%", height=str(height), **attributes)[*content]


def _percent(share: float) -> str:
    return f"{share:.2f}%"
