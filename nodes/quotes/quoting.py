"""Finds out what a job would take: what the renter's workers compute before they order, done here and thrown away."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from nodes.bootstrap.evidence import evidence_policy
from nodes.bootstrap.renter import RenterWishes, renter_services
from nodes.bootstrap.running import hands
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.data.port import Source
from nodes.data.table import Table
from nodes.quotes.prices import Prices, of_contracts, of_market
from nodes.quotes.quote import Offer, Quote
from nodes.renter.activities.prepare import facts_of
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.assess import NoProtection, assess, candidates_for
from nodes.renter.protocol.records import Facts
from nodes.renter.submission import JobOptions, new_job_id, stage
from nodes.store.blobs import BlobStore
from nodes.views.market import Market
from nodes.views.source import open_store
from schemas.jobs import Candidate, JobSpec
from schemas.money import MICROS, SECONDS_PER_HOUR


@contextlib.asynccontextmanager
async def services_at(config: NodeConfig) -> AsyncIterator[Services]:
    """What the renter of this folder works with, beside its workers.

    Raises:
        BadConfig: the node's key or policy is not right.
        StoreFailed: the renter's store cannot be opened.
    """
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(config, make=True))
        crew = Crew(hands(config))
        stack.push_async_callback(crew.close)
        wishes = RenterWishes(config.data_dir, crew, evidence=evidence_policy(config))
        yield renter_services(wishes, config.identity(), store)


async def quote(  # noqa: PLR0917 - what `submit` takes, and the market
    services: Services,
    data: Path | Source,
    program: bytes,
    local_program: bytes | None,
    options: JobOptions,
    market: Market | None = None,
) -> Quote:
    """Prepare the job aside, look at what that says, and leave nothing behind but what was measured of this machine.

    Prices are the market's; without one those of this renter's last contracts.

    Raises:
        BadInput: it could not be submitted either.
    """
    with tempfile.TemporaryDirectory(prefix="quote-", dir=services.jobs.parent) as name:
        aside = replace(services, jobs=Path(name) / "jobs", blobs=BlobStore(Path(name) / "blobs"))

        def staging() -> JobSpec:
            return stage(
                data,
                program,
                local_program,
                options,
                jobs=aside.jobs,
                blobs=aside.blobs,
                job_id=new_job_id(),
            )

        spec = await asyncio.to_thread(staging)
        at_hand = await Workbench(aside).inputs(spec)
        facts = await facts_of(aside, at_hand, sealing=True)
    prices = await of_contracts(services.store) if market is None else of_market(market)
    return _made(spec, facts, at_hand.table, prices)


def _made(spec: JobSpec, facts: Facts, table: Table, prices: Prices) -> Quote:
    candidates = candidates_for(spec, facts)
    try:
        assessment = assess(spec, facts)
        chosen, scheme, reason = assessment.chosen, assessment.scheme, assessment.reason
    except NoProtection as error:
        chosen, scheme, reason = None, None, str(error)
    return Quote(
        rows=facts.rows,
        columns=table.known.taken or table.columns,
        chosen=chosen,
        scheme=scheme,
        reason=reason,
        offers=tuple(_offer(each, prices, spec.price_micros_max) for each in candidates),
        prices=prices.source,
    )


def _offer(candidate: Candidate, prices: Prices, price_micros_max: int) -> Offer:
    price_micros = prices.micros.get(candidate.protection)
    offer = Offer(
        protection=candidate.protection,
        scheme=candidate.scheme,
        possible=candidate.possible,
        reason=candidate.reason,
        error=candidate.error_bound,
        units_free=prices.units.get(candidate.protection, 0) if prices.source == "market" else None,
    )
    if (costs := candidate.costs) is None:
        return offer
    hours = costs.lessor_seconds / SECONDS_PER_HOUR
    return replace(
        offer,
        own_seconds=costs.renter_seconds,
        lessor_seconds=costs.lessor_seconds,
        bytes_sent=costs.bytes_sent,
        bytes_back=costs.bytes_back,
        price=None if price_micros is None else price_micros / MICROS * hours,
        price_most=price_micros_max / MICROS * hours,
    )
