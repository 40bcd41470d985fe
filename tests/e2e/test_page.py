"""The page in a real browser over a real network: it follows a job, tells what is lost or old, and asks nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, Request, async_playwright, expect

import nodes.demo
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.protocol.records import Subtask
from nodes.renter.submission import JobOptions
from nodes.views import accounts
from schemas import money
from schemas.ids import address, hub_address
from tests.support.page import chromium, config_of, page_of
from tests.support.rabbit_network import RabbitNetwork
from tests.support.rabbitmq import Server
from tests.support.settled import until_settled

DEMO: Final = Path(nodes.demo.__file__).parent
LINEAR: Final = (DEMO / "breast_cancer_linear.onnx").read_bytes()
SILENT: Final = address("B11", "B13")
LOST_SECONDS_MAX: Final = 2.0
"""From the record to the page."""
STEP_SECONDS_MAX: Final = 40
NOTHING_ELSE: Final = ("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
AXE: Final = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
RULES: Final = "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Finds no other host than this machine's loopback address."""
    async with async_playwright() as driver:
        launched = await driver.chromium.launch(executable_path=chromium(), args=list(NOTHING_ELSE))
        yield launched
        await launched.close()


class Watched:
    """A page, and what its browser asked for and complained of."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.base = url.partition("/?")[0]
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._noted)
        page.on("console", lambda each: self.complaints.append(each.text) if each.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _noted(self, request: Request) -> None:
        self.asked.append(request.url)

    @classmethod
    async def opened(cls, browser: Browser, url: str, **context: Any) -> Watched:
        """A new window at the address that the command printed."""
        page = await (await browser.new_context(**context)).new_page()
        watched = cls(page, url)
        await page.goto(url)
        return watched

    async def goto(self, path: str) -> None:
        """Another page of the same node."""
        await self.page.goto(self.base + path)

    def hosts(self) -> set[str | None]:
        """That anything was asked of."""
        return {urlsplit(each).hostname for each in self.asked}


async def violations(page: Page) -> list[str]:
    """What axe-core objects to, in light and dark."""
    found = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.evaluate(AXE)
        result = await page.evaluate(RULES)
        found += [f"{scheme}: {each['id']}: {each['nodes'][0]['html']}" for each in result["violations"]]
    return found


async def figure(page: Page, name: str) -> str:
    """What stands under a name."""
    found = page.locator(".figures div", has=page.get_by_text(name, exact=True)).locator("dd")
    return await found.inner_text()


async def submitted(network: LocalNetwork, **options: Any) -> str:
    spec = network.stage(DEMO / "breast_cancer.csv", LINEAR, None, JobOptions(**options))
    await network.submit(spec)
    return spec.id


async def settled_by(network: LocalNetwork, lessor: str) -> list[int]:
    """Of a lessor's receipts, what each is over, in millionths."""
    found = await accounts.in_store(network.nodes[hub_address("B11")].store)
    return [each.receipt.cost_micros for each in found if each.contract.lessor == lessor]


async def lost_at(network: LocalNetwork, job: str) -> float:
    """When the renter's record of a lost subtask was there."""
    async with asyncio.timeout(STEP_SECONDS_MAX):
        while True:
            subtasks = (await network.store.read(job)).values()
            if any(isinstance(each, Subtask) and each.phase == "lost" for each in subtasks):
                return time.monotonic()
            await asyncio.sleep(0.02)  # a store tells nobody


@pytest.mark.rabbitmq
async def test_a_page_follows_a_job_whose_lessor_is_lost(tmp_path: Path, rabbitmq: Server, browser: Browser) -> None:
    folder = tmp_path / "network"
    async with RabbitNetwork(rabbitmq, folder, renter={"batch_deadline_seconds": 3.0}) as network:
        config = config_of(network, folder, LOCAL_RENTER, "renter")
        async with page_of(config) as url:
            await network.silence(SILENT)
            job = await submitted(network, protection="homomorphic", scheme="paillier", batch_rows=47)
            seen = await Watched.opened(browser, url)
            page = seen.page
            await page.get_by_role("link", name=job).click()
            await page.evaluate("window.here = 'the same page'")
            await expect(page.locator(".states .state")).to_have_text("running", timeout=STEP_SECONDS_MAX * 1000)
            await expect(page.locator("#waits")).to_contain_text("Waits for")
            recorded = await lost_at(network, job)
            await page.wait_for_selector(f".lane[data-lost] >> text={SILENT}", timeout=STEP_SECONDS_MAX * 1000)
            assert time.monotonic() - recorded <= LOST_SECONDS_MAX
            await expect(page.get_by_role("img", name=f"{SILENT}: 0 batches done, 4 lost")).to_be_visible()
            await expect(page.locator(".incidents")).to_contain_text("subtask lost")
            await expect(page.locator(".states .state")).to_have_text("completed", timeout=STEP_SECONDS_MAX * 1000)
            await expect(page.get_by_role("progressbar")).to_have_js_property("value", 569)
            assert await page.evaluate("window.here") == "the same page"
            assert await violations(page) == []
            for path in ("/", "/network", f"/lessors/{SILENT}", "/hubs/B11"):
                await seen.goto(path)
                assert await violations(page) == []
        assert (seen.hosts(), seen.complaints) == ({"127.0.0.1"}, [])


async def test_a_page_is_used_by_keyboard_and_told_to_screen_readers(tmp_path: Path, browser: Browser) -> None:
    async with LocalNetwork(tmp_path / "network") as network:
        job = await submitted(network, protection="enclave", accept_software_enclave=True)
        async with asyncio.timeout(STEP_SECONDS_MAX):
            assert [each async for each in network.watch(job)][-1].phase == "completed"
        config = config_of(network, tmp_path / "network", LOCAL_RENTER, "renter")
        async with page_of(config) as url:
            seen = await Watched.opened(browser, url, viewport={"width": 390, "height": 844})
            page = seen.page
            await page.keyboard.press("Tab")
            await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("main")).to_be_focused()
            link = page.get_by_role("link", name=job)
            for _ in range(12):
                await page.keyboard.press("Tab")
                if await link.evaluate("each => each === document.activeElement"):
                    break
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", level=1)).to_contain_text(job)
            roles = (("navigation", "Pages"), ("region", "Contracts"), ("group", "Contracts"), ("img", "Route"))
            for role, name in (*roles, ("status", None)):
                await expect(page.get_by_role(role, name=name).first).to_be_visible()  # type: ignore[arg-type]
            await page.wait_for_load_state()  # with its style sheet
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            assert await violations(page) == []
            await until_settled(network, 2)
            for node, role, paths in (
                ("B11.hub", "hub", ("/", "/hubs/B11", "/lessors/B11.B12")),
                ("B11.B12", "lessor", ("/",)),
                ("B11.B13", "lessor", ("/",)),
            ):
                other = config_of(network, tmp_path / "network", address(*node.split(".")), role)  # type: ignore[arg-type]
                async with page_of(other) as address_there:
                    there = await Watched.opened(browser, address_there)
                    for path in paths:
                        await there.goto(path)
                        assert await violations(there.page) == []
                    receipts = await settled_by(network, "B11.B12" if role == "hub" else node)
                    assert await figure(there.page, "Earned") == money.shown(sum(receipts)) != "0"
                    await expect(there.page.get_by_text("Last refusal")).to_be_visible()
                    assert (there.hosts(), there.complaints) == ({"127.0.0.1"}, [])
        assert (seen.hosts(), seen.complaints) == ({"127.0.0.1"}, [])


async def test_a_page_says_since_when_its_picture_is_old(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.runtime.loop.BEAT_SECONDS", 0.2)
    monkeypatch.setattr("nodes.views.presence.SILENT_SECONDS", 1.0)
    async with LocalNetwork(tmp_path / "network") as network:
        config = config_of(network, tmp_path / "network", LOCAL_RENTER, "renter")
        async with page_of(config) as url:
            seen = await Watched.opened(browser, url)
            status = seen.page.get_by_role("status")
            await expect(status).to_contain_text("Live · 1 process")
            await network.end_renter()
            await expect(status).to_contain_text("No process of A11.A12 has been heard of since")
            await network.begin_renter()
            await expect(status).to_contain_text("Live · 1 process")
            await seen.page.clock.install()
        await seen.page.clock.fast_forward(10_000)
        await expect(status).to_contain_text("The page's own process has not answered since")
