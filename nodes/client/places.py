"""Where jobs go: a running network seen from a renter's folder, or a network in this process. What differs is here."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from nodes.client.errors import in_python
from nodes.client.partners import Dataset, local_partner
from nodes.client.wishes import Whom
from nodes.network import described
from nodes.views import jobs, parts
from nodes.views.errors import UnknownJob
from nodes.views.parts import PartReport
from nodes.views.report import JobReport
from schemas.errors import BadConfig, SubletError

if TYPE_CHECKING:
    from broker.network import Network
    from nodes.client.order import Order
    from nodes.config import NodeConfig
    from nodes.local import LocalNetwork
    from nodes.quotes.quote import Quote
    from nodes.renter.activities.services import Services
    from nodes.store.port import Store
    from nodes.views.market import Market


class Place(Protocol):
    """A renter, as its user meets it. What is said of a job is read from its store."""

    store: Store
    jobs: Path
    """The folder of all jobs."""
    network: Network
    """Which hubs lie on a way."""
    own_lessors: int | None
    """How many, where all are in this process: whoever asked for them accepts software enclaves."""

    def whom(self, partner: str | None, dataset: str | None) -> Whom:
        """The partner that a user means. Raises BadConfig: nobody knows which."""

    async def part(self, job: str) -> PartReport:
        """What the partner has of a job, where it is in this process. Raises BadConfig or UnknownJob."""

    async def said(self, job: str) -> tuple[str, ...]:
        """Why the partner refused, in words that are for itself; nothing where it is elsewhere."""

    async def submit(self, order: Order) -> str:
        """The id of a new job. Raises SubletError: it cannot be submitted; nothing of it is left."""

    async def quote(self, order: Order) -> Quote:
        """What the job would take. Raises BadInput: it cannot be submitted."""

    async def cancel(self, job: str) -> None:
        """Ask the renter to take the job back."""

    def watch(self, job: str) -> AsyncIterator[JobReport]:
        """The job's report at every change, until it has ended."""

    async def close(self) -> None:
        """End what was started."""


class Running:
    """A renter of a running network, from its folder. Its workers do the work; this process only asks them."""

    own_lessors: int | None = None

    def __init__(self, config: NodeConfig, services: Services, stack: AsyncExitStack) -> None:
        """Use `open`."""
        self.store, self.jobs, self.network = services.store, config.jobs, described(config.network)
        self._config, self._services, self._stack = config, services, stack

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The renter that the file describes.

        Raises:
            BadConfig: the file, a variable or the node's key is not right.
            StoreFailed: the renter's store cannot be opened.
        """
        from nodes.config import read_config  # noqa: PLC0415
        from nodes.quotes.quoting import services_at  # noqa: PLC0415 - needs NumPy and onnx

        config = await asyncio.to_thread(read_config, path, os.environ, role="renter")
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(services_at(config))
            return cls(config, services, stack.pop_all())

    def whom(self, partner: str | None, dataset: str | None) -> Whom:
        if partner is None or dataset is None:
            field = "partner" if partner is None else "dataset"
            message = 'name the partner and its table, as partner="C11.C12", dataset="claims"'
            raise BadConfig(message, field=field)
        return Whom(partner, dataset)

    async def part(self, job: str) -> PartReport:
        raise BadConfig(f"the partner is not in this process: there `sublet joint show {job}` tells it", field="job")

    async def said(self, job: str) -> tuple[str, ...]:
        return ()

    async def submit(self, order: Order) -> str:
        from nodes import desk  # noqa: PLC0415

        return await desk.submit(self._config, order.given.data, order.program, order.local_program, order.options)

    async def quote(self, order: Order) -> Quote:
        from nodes import desk  # noqa: PLC0415

        return await _quoted(self._services, order, await desk.market_or_none(self._config))

    async def cancel(self, job: str) -> None:
        from nodes import desk  # noqa: PLC0415

        await desk.cancel(self._config, job)

    def watch(self, job: str) -> AsyncIterator[JobReport]:
        return jobs.watch(self.store, job, self.jobs, network=self.network)

    async def close(self) -> None:
        await self._stack.aclose()


class Alone:
    """A network of its own in this process, in a temporary folder that goes with it."""

    def __init__(
        self, network: LocalNetwork, lessors: int, stack: AsyncExitStack, datasets: Sequence[str] = ()
    ) -> None:
        """Use `open`."""
        self.store, self.jobs, self.network = network.store, network.jobs, network.topology
        self.own_lessors: int | None = lessors
        self._network, self._stack, self._datasets = network, stack, datasets

    @classmethod
    async def open(cls, lessors: int, datasets: Mapping[str, Dataset]) -> Self:
        """A network with so many lessors, and a partner if it has any datasets.

        Raises:
            BadData: one of these is no table, or has no such column of ids.
        """
        from nodes.local import LocalNetwork  # noqa: PLC0415 - needs all roles
        from nodes.scratch import scratch  # noqa: PLC0415 - not on Windows

        async with AsyncExitStack() as stack:
            folder = stack.enter_context(scratch())
            partner = await asyncio.to_thread(local_partner, datasets, folder / "policy.toml") if datasets else None
            network = await stack.enter_async_context(LocalNetwork(folder, lessors=lessors, partner=partner))
            return cls(network, lessors, stack.pop_all(), tuple(datasets))

    def whom(self, partner: str | None, dataset: str | None) -> Whom:
        from nodes.local import LOCAL_PARTNER  # noqa: PLC0415 - needs all roles

        if not self._datasets:
            opened = 'sublet.local(partner={"claims": sublet.Dataset(df, "member")})'
            raise BadConfig(f"there is no partner in this network: open it with {opened}", field="partner")
        if dataset is None and len(self._datasets) > 1:
            raise BadConfig(f"the partner has {', '.join(map(repr, self._datasets))}: name one", field="dataset")
        return Whom(LOCAL_PARTNER if partner is None else partner, self._datasets[0] if dataset is None else dataset)

    async def part(self, job: str) -> PartReport:
        if self._network.partner_store is None:
            raise BadConfig("there is no partner in this network", field="partner")
        return await parts.part(self._network.partner_store, job)

    async def said(self, job: str) -> tuple[str, ...]:
        try:
            store = self._network.partner_store
            return () if store is None else await parts.said(store, job)
        except UnknownJob:
            return ()

    async def submit(self, order: Order) -> str:
        spec = await asyncio.to_thread(
            self._network.stage, order.given.data, order.program, order.local_program, order.options
        )
        await self._network.submit(spec)
        return spec.id

    async def quote(self, order: Order) -> Quote:
        market = None
        with contextlib.suppress(SubletError):
            market = await self._network.market()
        return await _quoted(self._network.services, order, market)

    async def cancel(self, job: str) -> None:
        await self._network.cancel(job)

    def watch(self, job: str) -> AsyncIterator[JobReport]:
        return self._network.watch(job)

    async def close(self) -> None:
        await self._stack.aclose()


async def _quoted(services: Services, order: Order, market: Market | None) -> Quote:
    from nodes.quotes.quoting import quote  # noqa: PLC0415

    found = await quote(services, order.given.data, order.program, order.local_program, order.options, market)
    offers = tuple(replace(each, reason=in_python(each.reason)) for each in found.offers)
    return replace(found, reason=in_python(found.reason), offers=offers)
