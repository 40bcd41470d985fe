"""What pages show: hostile text as text, every state in words, and how old the picture is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from nodes.config import LessorSettings
from nodes.lessor.refusals import Refusal
from nodes.page.earnings import Earned
from nodes.page.job import JobPicture, job_page
from nodes.page.jobs import SHOWN_MAX, Choice, jobs_page
from nodes.page.layout import content, frame, status_line
from nodes.page.market import market_page
from nodes.page.network import hub_page, network_page
from nodes.page.offer import offer_page
from nodes.page.parties import lessor_at_hub, lessor_at_renter, partner_at_renter, unknown
from nodes.page.requests import request_page, requests_page
from nodes.page.words import number, size, span
from nodes.views.accounts import Fault, Line
from nodes.views.balance import Total
from nodes.views.book import Book, Cut, Offer, Subnet, Tenancy, Wish
from nodes.views.history import History, Incident
from nodes.views.lines import JobLine, RentalLine
from nodes.views.network import HubView, NetworkView, ParticipantView
from nodes.views.parts import PartReport
from nodes.views.presence import Presence
from nodes.views.refusals import Refused
from nodes.views.report import JobReport, Joining, Rental
from nodes.views.spans import SPANS_MAX
from schemas.ids import Address
from schemas.jobs import Assessment, Candidate, Costs
from schemas.joint import Learned
from schemas.orders import Capacity
from tests.unit.nodes.views.journals import journal

EVIL: Final = "<script>alert('1')</script><img src=x onerror=\"alert(2)\">'\"&lt;"
NOW: Final = 1_800_000_000.0
TAGS: Final = frozenset(
    {"script", "img", "iframe", "object", "embed", "style", "form", "input", "base", "foreignobject"}
)


class _Seen(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name == "href"}

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(html: str) -> _Seen:
    parser = _Seen()
    parser.feed("".join(html))  # plain text: what was escaped must not be escaped once more
    return parser


def a_report(text: str = EVIL, **fields: object) -> JobReport:
    rental = Rental(
        id=text,
        lessor="B11.B12",
        renter_hub="A11.hub",
        lessor_hub="B11.hub",
        protection=text,
        units=1,
        price_micros=1,
        state="running",
        subtask="running",
        rows=1,
        batches=1,
        under_way=2,
    )
    candidate = Candidate(protection="enclave", possible=True, reason=text)
    assessment = Assessment(
        asked=text,
        chosen="enclave",
        rows=9,
        columns=3,
        cores=2,
        free_cores=1.0,
        encrypt_seconds=0.0,
        encrypt_seconds_max=1.0,
        max_error=0.1,
        candidates=(candidate,),
        reason=text,
        costs=Costs(encrypt_seconds=1.0, lessor_seconds=1.0, decrypt_seconds=1.0),
    )
    learned = Learned(party="partner", kind=text, shape=text, count=1, round=1)
    joining = Joining(
        partner="C11.C12", dataset=text, round=1, rounds=2, fits=False, fit=None, ledger=(learned,), round_phase="open"
    )
    report = JobReport(
        id=text,
        phase="running",
        asked=text,
        protection="enclave",
        columns=(text,),
        rows=9,
        submitted_at=NOW - 9,
        reason=text,
        assessment=assessment,
        contracts=(rental,),
        route=(text,),
        confidential=text,
        joint=joining,
        renter="A11.A12",
        unowned=3,
        causes=((text, text),),
    )
    return replace(report, **fields)  # type: ignore[arg-type]


def a_history(text: str = EVIL) -> History:
    history = History()
    history.add(journal("enclave"))
    for lane in history.lanes:
        lane.mark(history.last_at, text)
        lane.claims = {"kind": text, "measurement": text, "confidential": text}
        lane.applied = (text,)
    history.incidents.append(Incident(history.last_at, text, "B11.B12", text, text))
    return history


def a_book(text: str = EVIL) -> Book:
    return Book(
        offers=(Offer(text, "B11.B12", 2, 1, 9, ("enclave", text), 1, text, NOW, NOW),),
        wishes=(Wish(text, text, 1, 9, "enclave", "waiting", text, NOW, NOW),),
        tenancies=(Tenancy(text, "A11.A12", "B11.B12", text, 1, 9, text, NOW - 9, NOW),),
        subnets=(Subnet("C11.hub", (Capacity(hub=Address("C11.hub"), protection="enclave", units=3, at=NOW),), NOW),),
        neighbours={"B11.hub": NOW},
        cuts=(Cut("B11.hub", text, NOW),),
    )


def a_view(text: str = EVIL) -> NetworkView:
    hubs = tuple(HubView(name=name, broker=text, links=("B11",), public_key=text) for name in ("A11", "B11"))
    member = ParticipantView(address=Address("A11.A12"), role=text, lanes=1, public_key=text)
    return NetworkView(node=Address("A11.hub"), role="hub", hubs=hubs, participants=(member,))


def a_line(text: str = EVIL, **fields: object) -> JobLine:
    rental = RentalLine("B11.B12", text, 1, 1, 1.0, 1, "lost", NOW)
    learned = (Learned(party="partner", kind=text, shape=text, count=1),)
    causes = ((text, f"B11.B12: {text}"),)
    line = JobLine(text, text, text, 9, 3, NOW - 9, 0.0, text, "C11.C12", text, learned, (rental,), causes)
    return replace(line, **fields)  # type: ignore[arg-type]


def a_part(text: str = EVIL) -> PartReport:
    return PartReport(
        job=text,
        renter=text,
        phase="waiting",
        dataset=text,
        columns=(text,),
        program=text,
        rows=1,
        received=1,
        outputs=1,
        rounds=1,
        answered=0,
        algorithm=None,
        texts=(),
        omitted=(),
        weights={},
        offset=0.0,
        lessors=(text,),
        rows_in=0,
        asked_at=NOW,
        ended_at=0.0,
        code=text,
        reason=text,
        ledger=(),
    )


def earned(text: str = EVIL) -> Earned:
    line = Line(
        contract=text,
        job=text,
        renter=text,
        lessor="B11.B12",
        protection=text,
        units=1,
        price_micros=1,
        started_at=NOW - 9,
        ended_at=NOW,
        rows=1,
        batches=1,
        cost_micros=1,
    )
    fault = Fault(file=Path(text), code=text, reason=text)
    return Earned({(text, "B11.B12"): Total(1, 1, 1, 9.0, 1, NOW)}, [line], 3, [fault])


PAGES: Final = {
    "job": lambda: job_page(JobPicture(a_report(), a_history(), 1, NOW)),
    "failed": lambda: job_page(JobPicture(a_report(phase="failed", code=EVIL), a_history(), 0, NOW)),
    "jobs": lambda: jobs_page([a_line()], 1, Choice(EVIL), NOW),
    "all jobs": lambda: jobs_page([a_line()], 0, Choice(), NOW),
    "market": lambda: market_page(a_book(), EVIL),
    "network": lambda: network_page(a_view(), a_book(), NOW),
    "hub": lambda: hub_page("A11", a_view(), a_book(), earned(), NOW),
    "lessor": lambda: lessor_at_renter("B11.B12", [a_line()], earned()),
    "lessor at its hub": lambda: lessor_at_hub("B11.B12", a_book(), earned(), Refused(NOW, EVIL, EVIL, EVIL), NOW),
    "partner": lambda: partner_at_renter("C11.C12", [a_line()]),
    "stranger": lambda: unknown("Lessor", EVIL, EVIL),
    "requests": lambda: requests_page([a_part()]),
    "request": lambda: request_page(a_part()),
    "offer": lambda: offer_page(EVIL, LessorSettings(), earned(), Refusal(at=NOW, source=EVIL, code=EVIL, reason=EVIL)),
}


@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_shows_as_text(name: str) -> None:
    page = seen(str(content(PAGES[name]())))
    assert not page.tags & TAGS
    assert not {each for each in page.attributes if each.startswith("on") or each == "style"}
    assert all(each.startswith("/") for each in page.links)
    assert "<script>alert('1')</script>" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_pages_have_one_first_heading_and_no_id_twice(name: str) -> None:
    html = str(content(PAGES[name]()))
    assert html.count("<h1") == 1
    ids = [each.partition('"')[0] for each in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_the_frame_asks_for_nothing_from_elsewhere() -> None:
    status = status_line("A11.A12", "renter", Presence(1, NOW), None)
    html = str(frame("A11.A12", "renter", "/", EVIL, [status, content()]))
    assert "//" not in html
    assert seen(html).tags & TAGS == {"script"}
    assert html.count("<script ") == html.count("<script src=") == 2


# ------------------------------------------------------------ how old the picture is


@pytest.mark.parametrize(
    ("presence", "trouble", "words"),
    [
        (Presence(2, NOW), None, ["Live", "2 processes"]),
        (Presence(1, NOW), None, ["Live", "1 process"]),
        (Presence(0, NOW), None, ["No process of A11.A12", "since 08:00:00", "of then"]),
        (Presence(0, 0.0), None, ["ever heard of", "sublet renter"]),
        (Presence(1, NOW), (NOW, "disk"), ["not been readable since 08:00:00", "of then", "disk"]),
        (None, (0.0, "none yet"), ["cannot be read", "none yet"]),
        (None, None, ["keeps no store"]),
    ],
)
def test_it_is_said_since_when_the_picture_is_old(
    presence: Presence | None, trouble: tuple[float, str] | None, words: Sequence[str]
) -> None:
    said = seen(str(status_line("A11.A12", "renter", presence, trouble))).text
    assert [each for each in words if each not in said] == []
    assert ("Live" in said) == (presence is not None and presence.processes > 0 and trouble is None)


# ------------------------------------------------------------ lists, and what is long


def test_jobs_are_shown_in_pages() -> None:
    lines = [a_line(f"job-{n}", phase="running" if n % 2 else "failed") for n in range(3 * SHOWN_MAX)]
    html = str(content(jobs_page(lines, 0, Choice("running", 1), NOW)))
    assert html.count("<tr>") == 1 + SHOWN_MAX // 2
    assert 'href="/?state=running" rel="prev"' in html
    assert 'rel="next"' not in html


def test_a_long_job_is_drawn_in_slots() -> None:
    history = a_history("x")
    lane = next(each for each in history.lanes if each.kind == "lessor")
    for batch in range(50_000):
        lane.spans.begin(batch, 1, history.began_at + batch * 0.01)
        lane.spans.end(batch, "done" if batch % 100 else "failed", history.began_at + batch * 0.01 + 0.5)
    html = str(content(job_page(JobPicture(a_report(), history, 0, NOW))))
    assert len(html) < 120_000
    assert html.count('data-state="failed"') > 10
    assert len(lane.spans.ended) == SPANS_MAX


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (span(0.4242), "0.424 s"),
        (span(59.96), "60.0 s"),
        (span(250), "4 min 10 s"),
        (span(7380), "2 h 3 min"),
        (size(512), "512 B"),
        (size(1536 * 1024), "1.5 MiB"),
        (number(1, "batch", "batches"), "1 batch"),
        (number(1200, "row"), "1,200 rows"),
    ],
)
def test_numbers_are_for_people(shown: str, words: str) -> None:
    assert shown == words
