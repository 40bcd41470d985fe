"""Pages stay up to date: a viewer gets at most an event a second, and an old picture is told apart from a live one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from nodes.config import LessorSettings, NodeConfig
from nodes.network import BrokerSite, HubEntry, NetworkFile
from nodes.page.access import Gate
from nodes.page.app import ALIVE_SECONDS, VIEWERS_MAX, build
from nodes.page.gallery import Gallery
from nodes.page.reader import HISTORIES_MAX, LOOK_SECONDS, Reader
from nodes.renter.protocol.records import RECORD_TYPES as RENTER_TYPES
from nodes.renter.protocol.records import Job, Progress
from nodes.store.port import Decision, Input, View
from nodes.store.sqlite import SqliteStore
from nodes.views.lines import READ_MAX, JobLines
from nodes.views.presence import SILENT_SECONDS
from schemas.ids import Address
from schemas.jobs import JobSpec
from tests.support.asgi import asked, streaming

PORT: Final = 8123
GATE: Final = Gate(frozenset({f"127.0.0.1:{PORT}"}), PORT, "t" * 32)
HEADERS: Final = {"Host": f"127.0.0.1:{PORT}", "Cookie": f"{GATE.cookie}={GATE.cookie_value}"}
NETWORK: Final = NetworkFile(
    brokers={"one": BrokerSite(host="127.0.0.1")}, hubs={"A11": HubEntry(broker="one", public_key="00" * 32)}
)
NOW: Final = 1_800_000_000.0
SPEC: Final = JobSpec(id="job-" + "0" * 24, data="0" * 64, program="0" * 64)


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def config(folder: Path, role: Any) -> NodeConfig:
    lessor = LessorSettings() if role == "lessor" else None
    return NodeConfig(
        role=role,
        address=Address("A11.A12"),
        amqp_url="",
        key_file=folder,
        data_dir=folder,
        network=NETWORK,
        lessor=lessor,
    )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """The renter's own, which its worker writes."""
    opened = await SqliteStore.open(tmp_path / "node.sqlite", RENTER_TYPES)
    yield opened
    await opened.close()


@pytest.fixture
async def reader(tmp_path: Path, store: SqliteStore) -> AsyncIterator[tuple[Reader, Clock]]:
    clock = Clock()
    made = Reader(config(tmp_path, "renter"), clock, clock)
    yield made, clock
    await made.close()


async def put(
    store: SqliteStore, job: str, *, phase: Any = "running", submitted_at: float = NOW, event: str = ""
) -> None:
    records = {
        "job": Job(spec=SPEC, submitted_at=submitted_at),
        "progress": Progress(phase=phase),
    }

    def decide(_: Input, __: View) -> Decision:
        return Decision(NOW, put=records, entry=b"{}")

    await store.apply([Input(event or job, job)], decide, owner="p1", lease_until=NOW, performs_max=0)


# ------------------------------------------------------------ the stream of changes


class Steps:
    """Lets a viewer's loop take one step at a time."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.reached = asyncio.Semaphore(0)
        self._go = asyncio.Semaphore(0)

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.reached.release()
        await self._go.acquire()

    def go(self) -> None:
        self._go.release()


async def events_of(steps: Steps, messages: asyncio.Queue[Any], count: int) -> list[str]:
    """The names of the events in so many steps, each at most one."""
    found: list[str] = []
    for _ in range(count):
        await steps.reached.acquire()
        sent = []
        while not messages.empty():
            sent.append(messages.get_nowait().get("body", b"").decode().partition("\n")[0])
        assert len(sent) <= 1
        found += sent or ["-"]
        steps.go()
    return found


async def test_a_viewer_gets_at_most_an_event_a_second_and_hears_that_the_page_lives(tmp_path: Path) -> None:
    steps, clock = Steps(), Clock()
    app = build(Reader(config(tmp_path, "lessor"), clock, clock), GATE, asyncio.Event(), steps.pause)
    async with streaming(app, "/events?of=/", HEADERS) as messages:
        head = await messages.get()
        assert (head["status"], dict(head["headers"])[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
        found = await events_of(steps, messages, 9)
    assert found[0] == "event: page"
    assert set(found[1:]) == {"-", "event: alive"}
    silent = round(ALIVE_SECONDS / LOOK_SECONDS)
    assert found[1 : 2 + silent] == ["-"] * silent + ["event: alive"]
    assert set(steps.waited) == {LOOK_SECONDS}


async def test_viewers_are_bounded_and_those_that_leave_make_room(tmp_path: Path) -> None:
    steps, clock = Steps(), Clock()
    app = build(Reader(config(tmp_path, "lessor"), clock, clock), GATE, asyncio.Event(), steps.pause)
    async with contextlib.AsyncExitStack() as open_:
        for _ in range(VIEWERS_MAX):
            messages = await open_.enter_async_context(streaming(app, "/events?of=/", HEADERS))
            await messages.get()
            await messages.get()
        answer = await asked(app, "/events?of=/", headers=HEADERS)
        assert answer.status == 503
        assert answer.code == "too-many-viewers"
    async with streaming(app, "/events?of=/", HEADERS) as messages:
        assert (await messages.get())["status"] == 200


async def test_a_stream_of_no_page_ends(tmp_path: Path) -> None:
    clock = Clock()
    app = build(Reader(config(tmp_path, "lessor"), clock, clock), GATE, asyncio.Event())
    async with streaming(app, "/events?of=/none", HEADERS) as messages:
        assert (await messages.get())["status"] == 200
        assert (await messages.get())["body"] == b""


# ------------------------------------------------------------ how old the picture is


async def test_a_node_that_stopped_is_told_since_when(store: SqliteStore, reader: tuple[Reader, Clock]) -> None:
    made, clock = reader
    gallery = Gallery(made)
    assert "ever heard of" in (await gallery.picture("/")).status
    await store.beat("p1", clock.now)
    clock.now += LOOK_SECONDS
    assert "Live" in (await gallery.picture("/")).status
    clock.now += SILENT_SECONDS
    assert 'heard of since <time datetime="2027-01-15T08:00:00.000+00:00"' in (await gallery.picture("/")).status
    await store.beat("p2", clock.now)
    clock.now += LOOK_SECONDS
    assert "Live" in (await gallery.picture("/")).status


async def test_a_store_that_cannot_be_read_leaves_the_last_picture(
    store: SqliteStore, reader: tuple[Reader, Clock], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made, clock = reader
    gallery = Gallery(made)
    await put(store, "job-a")
    await store.beat("p1", clock.now)
    assert "job-a" in (await gallery.picture("/")).main
    monkeypatch.setattr("nodes.page.reader.LOOK_SECONDS_MAX", 0.01)
    monkeypatch.setattr("nodes.page.reader.GLANCE_SECONDS_MAX", 0.01)
    shown, answers = await made.store(), asyncio.Event()
    asked_for: list[None] = []

    async def late() -> dict[str, float]:
        asked_for.append(None)
        await answers.wait()
        return {}

    with monkeypatch.context() as paused:
        paused.setattr(shown, "beats", late)
        for _ in range(5):
            clock.now += 30
            picture = await gallery.picture("/")
    assert len(asked_for) == 1
    answers.set()
    await asyncio.sleep(0)
    assert "job-a" in picture.main
    assert 'readable since <time datetime="2027-01-15T08:00:00.000+00:00"' in picture.status
    clock.now += LOOK_SECONDS
    await store.beat("p1", clock.now)
    assert "Live" in (await gallery.picture("/")).status


async def test_a_node_that_never_ran_has_a_page_too(tmp_path: Path) -> None:
    clock = Clock()
    made = Reader(config(tmp_path / "none", "renter"), clock, clock)
    assert "cannot be read" in (await Gallery(made).picture("/")).status
    assert not (tmp_path / "none").exists()


# ------------------------------------------------------------ what is read


async def test_only_jobs_that_changed_are_read_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        await put(store, f"job-{number}", submitted_at=NOW + number)
    read: list[str] = []
    select = store.select

    async def counted(aggregates: Any, kinds: Any) -> Any:
        read.extend(aggregates)
        return await select(aggregates, kinds)

    monkeypatch.setattr(store, "select", counted)
    lines = JobLines()
    assert await lines.refresh(store)
    assert [each.id for each in lines.newest_first] == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    read.clear()
    await put(store, "job-3", phase="failed", event="more", submitted_at=NOW + 3)
    await store.erase("job-0")
    assert await lines.refresh(store)
    assert read == ["job-3"]
    assert [(each.id, each.phase) for each in lines.newest_first] == [
        ("job-4", "running"),
        ("job-3", "failed"),
        ("job-2", "running"),
        ("job-1", "running"),
    ]


async def test_many_jobs_are_read_in_turns_and_what_is_left_is_told(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.views.lines.READ_MAX", 3)
    monkeypatch.setattr("nodes.views.lines.LINES_MAX", 7)
    for number in range(9):
        await put(store, f"job-{number}")
    lines, seen = JobLines(), []
    for _ in range(4):
        whole = await lines.refresh(store)
        seen.append((whole, len(lines.newest_first), lines.unread))
    assert seen == [(False, 3, 6), (False, 6, 3), (True, 7, 2), (True, 7, 2)]
    assert READ_MAX > 3


async def test_a_long_journal_is_read_over_several_looks(
    store: SqliteStore, reader: tuple[Reader, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = reader
    monkeypatch.setattr("nodes.page.reader.ENTRIES_MAX", 4)
    for number in range(10):
        await put(store, "job-long", event=f"e{number}")
    looks = iter(range(1_000_000))
    monkeypatch.setattr(made, "stopwatch", lambda: next(looks) * 0.15)
    unread = []
    for _ in range(3):
        picture = await made.job("job-long")
        assert picture is not None
        unread.append(picture.unread)
    assert unread == [6, 2, 0]


async def test_few_histories_are_kept(store: SqliteStore, reader: tuple[Reader, Clock]) -> None:
    made, _ = reader
    for number in range(HISTORIES_MAX + 3):
        await put(store, f"job-{number}")
        await made.job(f"job-{number}")
    assert len(made._histories) == HISTORIES_MAX


async def test_a_page_is_made_once_a_second_however_many_look(
    store: SqliteStore, reader: tuple[Reader, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = reader
    await put(store, "job-a")
    made_times: list[None] = []
    lines: Callable[[], Any] = made.all_lines

    async def counted() -> Any:
        made_times.append(None)
        return await lines()

    monkeypatch.setattr(made, "all_lines", counted)
    gallery = Gallery(made)
    pictures = await asyncio.gather(*(gallery.picture("/") for _ in range(20)))
    assert len(made_times) == 1
    assert len({each.main for each in pictures}) == 1


@pytest.mark.parametrize("path", ["/jobs/job-none", "/jobs/..", "/lessors/x", "/hubs/Z9", "/partners/a.b.c"])
async def test_what_is_not_there_is_not_found(path: str, reader: tuple[Reader, Clock], store: SqliteStore) -> None:
    made, _ = reader
    app = build(made, GATE, asyncio.Event())
    answer = await asked(app, path, headers=HEADERS)
    assert answer.status == 404
