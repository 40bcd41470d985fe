"""Makes the pictures of the page under docs/page again: `python -m tests.support.scenes`. Real jobs on a network in one
process, seen in Chromium, light and dark, on a telephone's width and on a screen's."""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, async_playwright

import nodes.demo
from nodes.config import LessorSettings
from nodes.lessor.worker import LessorWorker
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views.report import JobReport
from schemas.ids import Address, address, parse_address
from tests.support import together as joint
from tests.support.models import write_rows
from tests.support.page import chromium, config_of, page_of

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "page"
LINEAR: Final = (Path(nodes.demo.__file__).parent / "breast_cancer_linear.onnx").read_bytes()
WIDTHS: Final = (390, 1440)
SCHEMES: Final = ("light", "dark")
QUALITY: Final = 82
ROWS: Final = 60_000
PRICES: Final = {"B12": 0.9, "B13": 1.4, "B14": 1.1, "B15": 2.25}
KILLED: Final = address("B11", "B13")
LESSORS_MAX: Final = 2


class _Priced(LocalNetwork):
    """Lessors ask different prices."""

    def _worker(self, lessor: Address) -> LessorWorker:
        worker = super()._worker(lessor)
        price = round(PRICES[lessor.partition(".")[2]] * 1e6)
        worker.config = replace(worker.config, price_micros=price)
        return worker


async def main() -> None:
    """All scenes, or those whose names are given."""
    wanted = sys.argv[1:]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for scene in (_homomorphic, _joint):
                if not wanted or scene.__name__.strip("_") in wanted:
                    await scene(Path(tempfile.mkdtemp(dir=name)), browser)
            await browser.close()


async def _homomorphic(folder: Path, browser: Browser) -> None:
    """A running job and the market beside it; then one of its lessors is killed."""
    data = write_rows(folder / "data.csv", ROWS)
    renter = {"batch_deadline_seconds": 6.0}
    async with _Priced(folder / "network", lessors=len(PRICES), renter=renter) as network:
        options: dict[str, Any] = {
            "protection": "homomorphic",
            "lessors": LESSORS_MAX,
            "local_share": 0.02,
            "scheme": "paillier",
        }
        first = await _submitted(network, data, protection="enclave", accept_software_enclave=True)
        await _until(network, first, lambda report: report.ended)
        job = await _submitted(network, data, **options)
        await _until(network, job, lambda report: report.rows_done > ROWS * 0.25)
        async with page_of(config_of(network, folder / "network", LOCAL_RENTER, "renter")) as url:
            await _shoot(browser, url, f"/jobs/{job}", "homomorphic")
            report = await _until(network, job, lambda report: bool(report.contracts))
            killed = report.contracts[-1].lessor
            await network.silence(killed)
            async with page_of(config_of(network, folder / "network", address("B11", "hub"), "hub")) as hub:
                await _shoot(browser, hub, "/", "market")
            report = await _until(network, job, lambda report: report.ended)
            await _shoot(browser, url, f"/jobs/{job}", "killed")
        earner = next(each.lessor for each in report.contracts if each.lessor != killed)
        own = config_of(network, folder / "network", parse_address(earner), "lessor")
        while not list(own.receipts.glob("*/*.json")):  # noqa: ASYNC110 - a folder is asked
            await asyncio.sleep(0.05)
        settings = LessorSettings(price=PRICES[earner.partition(".")[2]])
        async with page_of(replace(own, lessor=settings)) as there:
            await _shoot(browser, there, "/", "lessor")


async def _joint(folder: Path, browser: Browser) -> None:
    case = joint.make_case(folder)
    partner = joint.local_partner(case, joint.policy(folder))
    async with LocalNetwork(folder / "network", partner=partner) as network:
        options = joint.wishes({"batch_rows": 10}, parameters=(0.5, -0.25, 1.0))
        spec = network.stage(case.renter, joint.lessors_program(), None, options)
        await network.submit(spec)
        await _until(network, spec.id, lambda report: report.joint is not None and report.joint.round >= 3)
        async with page_of(config_of(network, folder / "network", LOCAL_RENTER, "renter")) as url:
            await _until(network, spec.id, lambda report: report.ended)
            await _shoot(browser, url, f"/jobs/{spec.id}", "joint")


async def _submitted(network: LocalNetwork, data: Path, **options: Any) -> str:
    spec = network.stage(data, LINEAR, None, JobOptions(**options))
    await network.submit(spec)
    return spec.id


async def _until(network: LocalNetwork, job: str, seen: Callable[[JobReport], bool]) -> JobReport:
    async for report in network.watch(job):
        if seen(report):
            return report
    raise AssertionError(f"not seen: {report.phase} {report.reason}")


async def _shoot(browser: Browser, url: str, path: str, name: str) -> None:
    for scheme in SCHEMES:
        for width in WIDTHS:
            height = 844 if width < 800 else 900
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                device_scale_factor=1 if width > 800 else 2,
            )
            page = await context.new_page()
            await page.goto(url)
            await page.goto(url.partition("/?")[0] + path)
            await page.wait_for_selector("#status .live, #status .quiet")  # a lessor keeps no store
            await page.wait_for_function("document.querySelector('main').innerText.length > 100")
            await _save(page, FOLDER / f"{name}-{scheme}-{width}.webp")
            await context.close()


async def _save(page: Any, path: Path) -> None:
    """The whole page as WebP, which Chromium itself writes."""
    session = await page.context.new_cdp_session(page)
    asked = {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True}
    size = (await session.send("Page.getLayoutMetrics"))["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    taken = await session.send("Page.captureScreenshot", {**asked, "clip": clip})
    raw = base64.b64decode(taken["data"])
    await asyncio.to_thread(path.write_bytes, raw)
    sys.stdout.write(f"{path.name} {len(raw):,} bytes\n")


Scene = Callable[[Path, Browser], Awaitable[None]]

if __name__ == "__main__":
    asyncio.run(main())
