"""The page over a store of 10,000 jobs, one of which has 100,000 batches: how soon it paints, what memory it takes, how
often it tells each of several viewers something.

A real job is run once; the others are its records under other names. The long one's journal is what a renter writes of
each batch: that it is sent, and that its result was accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import HTTPCookieProcessor, build_opener

import orjson
import psutil  # type: ignore[import-untyped]
import structlog
from playwright.async_api import Browser, async_playwright

import nodes.demo
from nodes.config import NodeConfig
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.network import BrokerSite, HubEntry, NetworkFile
from nodes.page.serve import Binding, serve_page
from nodes.renter.submission import JobOptions
from nodes.store.port import GENESIS
from tests.support.page import chromium

JOBS: Final = 10_000
BATCHES: Final = 100_000
VIEWERS: Final = 8
VIEW_SECONDS: Final = 60
PAINT_MS_MAX: Final = 1000.0
MEMORY_MIB_MAX: Final = 350
BATCH_SECONDS: Final = 0.05
DEMO: Final = Path(nodes.demo.__file__).parent
PAINTED: Final = "performance.getEntriesByName('first-contentful-paint').map(each => each.startTime)[0]"


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one run."""

    paints_ms: dict[str, float]
    memory_mib: tuple[float, float]
    """Of the page's process: after the first looks, and at the end."""
    events: list[int]
    """Of each viewer."""
    seconds: float
    """That viewers looked."""
    read_seconds: float
    """Until the long journal was read to its end."""


async def one_job(folder: Path) -> str:
    """A job of the demo's data, on a network of its own."""
    async with LocalNetwork(folder) as network:
        options = JobOptions(protection="enclave", accept_software_enclave=True, batch_rows=47)
        program = (DEMO / "breast_cancer_linear.onnx").read_bytes()
        spec = network.stage(DEMO / "breast_cancer.csv", program, None, options)
        await network.submit(spec)
        reports = [each async for each in network.watch(spec.id)]
        assert reports[-1].phase == "completed", reports[-1].reason
        return spec.id


def fill(path: Path, job: str, jobs: int, batches: int) -> str:
    """More of the same job, and a long journal for it; the long job's id."""
    connection = sqlite3.connect(path)
    with connection:
        numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        name = "'job-' || printf('%024x', i)"
        connection.execute(
            f"{numbers} INSERT INTO records SELECT {name}, key, value, version FROM n JOIN records WHERE aggregate = ?",
            (jobs - 1, job),
        )
        head = f"{name}, version, journalled, last_hash, forgotten"
        connection.execute(
            f"{numbers} INSERT INTO aggregates SELECT {head} FROM n JOIN aggregates WHERE aggregate = ?",
            (jobs - 1, job),
        )
        ((kept,),) = connection.execute("SELECT journalled FROM aggregates WHERE aggregate = ?", (job,))
        rows = ((job, kept + n, 0.0, entry) for n, entry in enumerate(_entries(batches, time.time())))
        connection.executemany("INSERT INTO journal (aggregate, n, at, entry) VALUES (?, ?, ?, ?)", rows)
        connection.execute("UPDATE aggregates SET journalled = ? WHERE aggregate = ?", (kept + 2 * batches, job))
    connection.close()
    return job


def _entries(batches: int, start: float) -> Iterator[bytes]:
    """Two of each batch, as long as a renter's."""
    rest: dict[str, Any] = {"entropy": "0" * 64, "prev": GENESIS, "refused": None, "signatures": []}
    for number in range(batches):
        lessor, now = f"B11.B{12 + number % 2}", start + number * BATCH_SECONDS
        params = {"batch": {"attempt": 1, "batch": number, "subtask": f"subtask-{lessor}"}, "lessor": lessor}
        dispatch = {"effect": "perform", "activity": "dispatch", "params": params}
        yield _entry(rest, "batch.sent", {"attempt": 1, "batch": number - 1}, now, [dispatch])
        done = {"attempt": 1, "batch": number, "owner": f"subtask-{lessor}", "digest": "0" * 64}
        yield _entry(rest, "result.accepted", done, now + 4 * BATCH_SECONDS, [])


def _entry(rest: dict[str, Any], kind: str, data: dict[str, Any], now: float, effects: list[Any]) -> bytes:
    event = {"type": kind, "source": LOCAL_RENTER, "to": LOCAL_RENTER, "id": "event-" + "0" * 24, "data": data}
    return orjson.dumps({**rest, "event": event, "now": now, "effects": effects})


async def measured(folder: Path, jobs: int, batches: int, view_seconds: float) -> Seen:
    """Fill a store, serve it, look."""
    made = await one_job(folder)
    long = fill(folder / LOCAL_RENTER / "node.sqlite", made, jobs, batches)
    command = [sys.executable, "-m", "tests.soak.page", "--serve", str(folder)]
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        url = (await server.stdout.readline()).decode().strip()
        process = psutil.Process(server.pid)
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            paints = {name: await _paint(browser, url, path) for name, path in _looks(long)}
            read_seconds = await _until_read(browser, url, f"/jobs/{long}")
            paints["long job again"] = await _paint(browser, url, f"/jobs/{long}")
            await browser.close()
        first = process.memory_info().rss / 2**20
        begin = time.monotonic()
        looks = (_events(url, f"/jobs/{long}" if n % 2 else "/", view_seconds) for n in range(VIEWERS))
        events = await asyncio.gather(*looks)
        seconds = time.monotonic() - begin
        return Seen(paints, (first, process.memory_info().rss / 2**20), list(events), seconds, read_seconds)
    finally:
        server.terminate()
        await server.wait()


def _looks(long: str) -> tuple[tuple[str, str], ...]:
    return ("jobs", "/"), ("long job", f"/jobs/{long}"), ("lessor", "/lessors/B11.B12"), ("jobs again", "/")


async def _paint(browser: Browser, url: str, path: str) -> float:
    """Milliseconds until something is seen, in a new window whose cookie is there already."""
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    await page.goto(url.partition("/?")[0] + "/static/page.css?" + url.partition("?")[2])
    await page.goto(url.partition("/?")[0] + path)
    await page.wait_for_function(f"{PAINTED} !== undefined")
    painted = float(await page.evaluate(PAINTED))
    await context.close()
    return painted


async def _until_read(browser: Browser, url: str, path: str) -> float:
    page = await (await browser.new_context(bypass_csp=True)).new_page()
    begin = time.monotonic()
    await page.goto(url)
    await page.goto(url.partition("/?")[0] + path)
    await page.wait_for_function("!document.body.innerText.includes('Reading the journal')", timeout=120_000)
    return time.monotonic() - begin


async def _events(url: str, path: str, seconds: float) -> int:
    """How many a viewer got."""

    def count() -> int:
        opener = build_opener(HTTPCookieProcessor())
        opener.open(url).close()
        found, end = 0, time.monotonic() + seconds
        with opener.open(url.partition("/?")[0] + f"/events?of={path}", timeout=10) as stream:
            while time.monotonic() < end:
                found += stream.readline().startswith(b"event: page")
        return found

    return await asyncio.to_thread(count)


async def _serve(folder: Path) -> None:
    hubs = {name: HubEntry(broker="one", public_key="00" * 32) for name in ("A11", "B11")}
    network = NetworkFile(brokers={"one": BrokerSite(host="127.0.0.1")}, hubs=hubs, links=(("A11", "B11"),))
    config = NodeConfig(
        role="renter",
        address=LOCAL_RENTER,
        amqp_url="",
        key_file=folder,
        data_dir=folder / LOCAL_RENTER,
        network=network,
    )
    await serve_page(config, Binding(), asyncio.Event(), lambda address: print(address, flush=True))


def main() -> int:
    """Exit 1 where a bound is passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.page")
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--seconds", type=float, default=VIEW_SECONDS)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if asked.serve is not None:
        asyncio.run(_serve(asked.serve))
        return 0
    with tempfile.TemporaryDirectory(prefix="sublet-soak-") as name:
        seen = asyncio.run(measured(Path(name), asked.jobs, asked.batches, asked.seconds))
    print(f"{asked.jobs:,} jobs, one of {asked.batches:,} batches")
    print("first paint, ms:", ", ".join(f"{name} {ms:.0f}" for name, ms in seen.paints_ms.items()))
    print(f"the long journal is read after {seen.read_seconds:.1f} s")
    print(f"memory of the page: {seen.memory_mib[0]:.0f} MiB, at the end {seen.memory_mib[1]:.0f}")
    print(f"events in {seen.seconds:.0f} s, of {VIEWERS} viewers: {seen.events}")
    bad = max(seen.paints_ms.values()) > PAINT_MS_MAX or seen.memory_mib[1] > MEMORY_MIB_MAX
    return int(bad or max(seen.events) > seen.seconds + 2)


if __name__ == "__main__":
    sys.exit(main())
