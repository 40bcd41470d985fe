"""Finds out what a job would take: what the renter's workers compute before they order, done here and thrown away."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from nodes.bootstrap.renter import RenterWishes, evidence_policy, new_job_id, renter_services
from nodes.bootstrap.running import hands
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.data.port import Source
from nodes.data.table import Table
from nodes.quotes.quote import Offer, Quote
from nodes.renter.activities.prepare import facts_of
from nodes.renter.activities.services import Services
from nodes.renter.activities.workbench import Workbench
from nodes.renter.protocol.assess import NoProtection, assess, candidates_for
from nodes.renter.protocol.records import JOB_PREFIX, Facts
from nodes.renter.submission import JobOptions, stage
from nodes.store.blobs import BlobStore
from nodes.store.errors import RecordUnreadable
from nodes.store.port import Store
from nodes.views import orders
from nodes.views.source import open_store
from schemas.jobs import Candidate, JobSpec
from schemas.money import MICROS, SECONDS_PER_HOUR

JOBS_LOOKED_AT_MAX: Final = 20
"""For prices."""


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


async def quote(
    services: Services, data: Path | Source, program: bytes, local_program: bytes | None, options: JobOptions
) -> Quote:
    """Prepare the job aside, look at what that says, and leave nothing behind but what was measured of this machine.

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
    return _made(spec, facts, at_hand.table, await _prices(services.store))


async def _prices(store: Store) -> Mapping[str, int]:
    """The lowest price, in micros per unit and hour, by protection, of some of this renter's contracts."""
    found: dict[str, int] = {}
    for job in (await store.aggregates(JOB_PREFIX))[-JOBS_LOOKED_AT_MAX:]:
        with contextlib.suppress(RecordUnreadable):  # its own job's trouble
            for order in await orders.of_job(store, job):
                for protection in order.protections if order.kind == "sell" else ():
                    found[protection] = min(order.price_micros, found.get(protection, order.price_micros))
    return found


def _made(spec: JobSpec, facts: Facts, table: Table, prices: Mapping[str, int]) -> Quote:
    candidates = candidates_for(spec, facts)
    try:
        assessment = assess(spec, facts)
        chosen, reason = assessment.chosen, assessment.reason
    except NoProtection as error:
        chosen, reason = None, str(error)
    return Quote(
        rows=facts.rows,
        columns=table.known.taken or table.columns,
        chosen=chosen,
        reason=reason,
        offers=tuple(_offer(each, prices.get(each.protection), spec.price_micros_max) for each in candidates),
    )


def _offer(candidate: Candidate, price_micros: int | None, price_micros_max: int) -> Offer:
    offer = Offer(
        protection=candidate.protection,
        scheme=candidate.scheme,
        possible=candidate.possible,
        reason=candidate.reason,
        error=candidate.error_bound,
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
