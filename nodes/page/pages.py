"""Which page an address names, and what is read for it: a row per address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, unquote

from htpy import Node

from nodes.lessor.refusals import last_refusal
from nodes.page import job, jobs, market, network, offer, parties, requests
from nodes.page.earnings import SHOWN_MAX, Earned
from nodes.page.parts import is_address
from nodes.page.reader import Reader
from nodes.views.book import Book, book
from nodes.views.errors import UnknownJob
from nodes.views.network import network as network_view
from nodes.views.parts import part as part_of
from nodes.views.parts import parts

PAGES_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Sight:
    """A page's title and content."""

    title: str
    content: Node


class NoSuchPage(Exception):  # noqa: N818 - reads as the sentence it is
    """The address names nothing that there is."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address, taken apart."""

    path: str
    name: str
    """What stands in the path's last part."""
    query: Mapping[str, str]


Show = Callable[[Reader, Target], Awaitable[Sight]]


async def _home(reader: Reader, target: Target) -> Sight:
    return await HOMES[reader.config.role](reader, target)


async def _jobs(reader: Reader, target: Target) -> Sight:
    lines, page = await reader.all_lines(), target.query.get("page", "0")
    choice = jobs.Choice(target.query.get("state", ""), min(PAGES_MAX, int(page)) if page.isdecimal() else 0)
    return Sight("Jobs", jobs.jobs_page(lines.newest_first, lines.unread, choice, reader.clock()))


async def _market(reader: Reader, target: Target) -> Sight:
    found = await book(await reader.store())
    return Sight("Market", market.market_page(found, reader.config.address))


async def _requests(reader: Reader, target: Target) -> Sight:
    found = await parts(await reader.store())
    return Sight("Requests", requests.requests_page(found[::-1]))


async def _offer(reader: Reader, target: Target) -> Sight:
    settings = reader.config.lessor
    assert settings is not None  # read_config gives every lessor some
    refusal = await asyncio.to_thread(last_refusal, reader.config.data_dir)
    return Sight("Lessor", offer.offer_page(reader.config.address, settings, await _earned(reader), refusal))


HOMES: Final[Mapping[str, Show]] = MappingProxyType(
    {"renter": _jobs, "hub": _market, "partner": _requests, "lessor": _offer}
)


async def _job(reader: Reader, target: Target) -> Sight:
    try:
        if reader.config.role == "partner":
            return Sight(target.name, requests.request_page(await part_of(await reader.store(), target.name)))
        picture = await reader.job(target.name) if reader.config.role == "renter" else None
    except UnknownJob:
        picture = None
    if picture is None:
        raise NoSuchPage(f"there is no job {target.name} at {reader.config.address}")
    return Sight(job.title(picture), job.job_page(picture))


async def _network(reader: Reader, target: Target) -> Sight:
    found = await _book(reader)
    return Sight("Network", network.network_page(network_view(reader.config), found, reader.clock()))


async def _hub(reader: Reader, target: Target) -> Sight:
    found = await _book(reader)
    earned = await _earned(reader) if found is not None else Earned()
    shown = network.hub_page(target.name, network_view(reader.config), found, earned, reader.clock())
    if shown is None:
        raise NoSuchPage(f"{reader.config.address} knows no hub {target.name}")
    return Sight(f"Hub {target.name}", shown)


async def _lessor(reader: Reader, target: Target) -> Sight:
    name = _address(target)
    if reader.config.role == "renter":
        lines = (await reader.all_lines()).newest_first
        return Sight(name, parties.lessor_at_renter(name, lines, await _earned(reader, name)))
    if reader.config.role == "hub":
        refused, known = await reader.refused(name), await book(await reader.store())
        return Sight(name, parties.lessor_at_hub(name, known, await _earned(reader, name), refused, reader.clock()))
    return Sight(name, parties.unknown("Lessor", name, f"A {reader.config.role} keeps nothing of it."))


async def _partner(reader: Reader, target: Target) -> Sight:
    name = _address(target)
    if reader.config.role == "renter":
        return Sight(name, parties.partner_at_renter(name, (await reader.all_lines()).newest_first))
    why = "What it was asked, and what it learned, is in its own store: open the page there."
    return Sight(name, parties.unknown("Partner", name, why))


async def _earned(reader: Reader, lessor: str | None = None) -> Earned:
    """By the receipts that this node keeps: all, or a lessor's."""
    found = await reader.receipts()
    newest = found.newest(SHOWN_MAX, lessor=lessor)
    return Earned(found.totals(lessor=lessor), newest, found.unread, found.faults)


async def _book(reader: Reader) -> Book | None:
    return await book(await reader.store()) if reader.config.role == "hub" else None


def _address(target: Target) -> str:
    if not is_address(target.name):
        raise NoSuchPage(f"{target.name} is no address")
    return target.name


ROUTES: Final[tuple[tuple[re.Pattern[str], Show], ...]] = (
    (re.compile(r"/"), _home),
    (re.compile(r"/jobs/([^/]{1,200})"), _job),
    (re.compile(r"/network"), _network),
    (re.compile(r"/hubs/([^/]{1,200})"), _hub),
    (re.compile(r"/lessors/([^/]{1,200})"), _lessor),
    (re.compile(r"/partners/([^/]{1,200})"), _partner),
)


def resolve(address: str) -> tuple[Show, Target]:
    """What shows a page's address (path and query).

    Raises:
        NoSuchPage: nothing does.
    """
    path, _, query = address.partition("?")
    for pattern, show in ROUTES:
        if found := pattern.fullmatch(path):
            name = unquote(found[1]) if found.groups() else ""
            asked = parse_qs(query, max_num_fields=8)
            return show, Target(path, name, {key: values[-1] for key, values in asked.items()})
    raise NoSuchPage(f"there is no page {path}")
