"""A whole network in one process: two hubs, a renter and lessors on the embedded broker and SQLite.

For trying things out, for running a job on one machine, and for tests. The lessors' enclaves are real child processes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from broker.embedded import EmbeddedServer
from broker.network import Hub, Link, Network, Participant
from nodes.asking import told_market
from nodes.bootstrap.hub import hub_node
from nodes.bootstrap.lessor import lessor_worker
from nodes.bootstrap.partner import PartnerWishes, partner_node
from nodes.bootstrap.renter import RenterWishes, renter_node
from nodes.bootstrap.running import cores
from nodes.bootstrap.stored import StoredNode
from nodes.crew.crew import Crew
from nodes.data.port import Source
from nodes.hub.directory import HubConfig
from nodes.identity import Identity
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.worker import LessorWorker
from nodes.local_partner import LocalPartner
from nodes.partner.decision import publish_decision
from nodes.partner.protocol.config import PartnerConfig
from nodes.renter.activities.services import Services
from nodes.renter.files.folder import JobFolder
from nodes.renter.prediction.calibration import user_file
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.submission import JobOptions, new_job_id, publish_cancel, publish_delete, publish_job, stage
from nodes.runtime.post import Post
from nodes.store.port import Store
from nodes.views import jobs, journal
from nodes.views.market import Market
from nodes.views.report import JobReport
from schemas.ids import Address, address, hub_address, parse_address
from schemas.jobs import JobSpec

WATCH_SECONDS: Final = 0.05
"""How often a watcher in the same process looks at a job."""
LOCAL_HUBS: Final = ("A11", "B11")
LOCAL_RENTER: Final = address("A11", "A12")
LOCAL_PARTNER_HUB: Final = "C11"
LOCAL_PARTNER: Final = address(LOCAL_PARTNER_HUB, "C12")


class LocalNetwork:
    """Hubs A11 and B11, renter A12 and lessors B12, B13, … in one process, on the embedded broker and SQLite.

    Use as an async context manager.
    """

    def __init__(
        self,
        folder: Path,
        *,
        lessors: int = 2,
        workers: int = 1,
        renter: Mapping[str, Any] | None = None,
        reported_measurement: bytes | None = None,
        crew: Crew | None = None,
        partner: LocalPartner | None = None,
    ) -> None:
        """Prepare a network under `folder`.

        Args:
            folder: for stores and jobs; made when missing.
            lessors: how many, on hub B11.
            workers: per lessor.
            renter: fields of `RenterConfig` to change.
            reported_measurement: what the lessors' enclaves claim to run, if not what they run.
            crew: computes on ciphertexts for all of them; by default one of their own, as large as the machine.
            partner: with it, hub C11 and partner C12 are there too, linked to A11.
        """
        self._folder = folder
        self._lessors = tuple(address("B11", f"B{12 + number}") for number in range(lessors))
        self._workers = workers
        self._reported = reported_measurement
        self._renter_settings = dict(renter or {})
        self._partner = partner
        self._hubs = (*LOCAL_HUBS, *([LOCAL_PARTNER_HUB] if partner else []))
        partners = [LOCAL_PARTNER] if partner else []
        names = (*(hub_address(hub) for hub in self._hubs), LOCAL_RENTER, *self._lessors, *partners)
        self._identities = {name: Identity.generate(name) for name in names}
        self.topology: Final = self._network()
        """Its hubs and links."""
        self.server = EmbeddedServer(self.topology)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._working: list[tuple[Address, asyncio.Task[None]]] = []
        self._services: Services | None = None
        self.nodes: dict[Address, StoredNode] = {}
        """Hubs and renter that are running, by address."""
        self._renter_task: asyncio.Task[None]
        self._renter_stop = asyncio.Event()
        self.partner_store: Store | None = None
        """The partner's, where there is one."""
        self._partner_task: asyncio.Task[None] | None = None
        self._partner_stop = asyncio.Event()
        self._crew, self._own_crew = crew or Crew(cores()), crew is None

    async def __aenter__(self) -> Self:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for hub in self._hubs:
            await self._start_hub(hub)
        await self._start_renter()
        if self._partner is not None:
            await self._start_partner(self._partner)
        workers = [self._worker(lessor) for lessor in self._lessors for _ in range(self._workers)]
        self._working = [(worker.config.me, asyncio.create_task(worker.run())) for worker in workers]
        await self._unless_failed(asyncio.gather(*(worker.ready.wait() for worker in workers)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stop in (self._stop, self._renter_stop, self._partner_stop):
            stop.set()
        for lessor in self._lessors:
            await self.silence(lessor)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.close()
        if self._own_crew:
            await self._crew.close()

    @property
    def store(self) -> Store:
        """The renter's store."""
        return self.services.store

    @property
    def jobs(self) -> Path:
        """The renter's job folders."""
        return self.services.jobs

    def stage(self, data: Path | Source, program: bytes, local_program: bytes | None, options: JobOptions) -> JobSpec:
        """Check and lay down a job; see `nodes.renter.submission.stage`."""
        services = self.services
        return stage(
            data, program, local_program, options, jobs=services.jobs, blobs=services.blobs, job_id=new_job_id()
        )

    async def submit(self, spec: JobSpec) -> None:
        """Publish the job's event to the renter."""
        broker = self.server.connect(LOCAL_RENTER)
        await publish_job(Post(self._identities[LOCAL_RENTER], broker, time.time), spec)
        await broker.close()

    async def cancel(self, job_id: str) -> None:
        """Ask the renter to take the job back."""
        broker = self.server.connect(LOCAL_RENTER)
        await publish_cancel(Post(self._identities[LOCAL_RENTER], broker, time.time), job_id)
        await broker.close()

    async def delete(self, job_id: str) -> None:
        """Ask the renter to remove all that there is of the job."""
        broker = self.server.connect(LOCAL_RENTER)
        await publish_delete(Post(self._identities[LOCAL_RENTER], broker, time.time), job_id)
        await broker.close()

    async def market(self) -> Market:
        """What compute there is, as the renter's hub knows. Raises HubSilent."""
        broker = self.server.connect(LOCAL_RENTER)
        try:
            return await told_market(Post(self._identities[LOCAL_RENTER], broker, time.time), broker, self._hub_keys)
        finally:
            await broker.close()

    def watch(self, job_id: str) -> AsyncIterator[JobReport]:
        """The job's report at every change, until it has ended."""
        return jobs.watch(self.store, job_id, self.jobs, self._pause, self.topology)

    async def _pause(self) -> None:
        await self._unless_failed(asyncio.sleep(WATCH_SECONDS))

    async def silence(self, lessor: str) -> None:
        """End a lessor's workers as if their machines had stopped: its orders stand until they run out."""
        tasks = [task for owner, task in self._working if owner == lessor]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def explain(self, job_id: str) -> list[dict[str, Any]]:
        """The job's journal as lines."""
        return await journal.explain(self.store, job_id)

    def identity(self, of: Address) -> Identity:
        """The identity of one of the network's nodes."""
        return self._identities[of]

    @property
    def renter_config(self) -> RenterConfig:
        """The renter's public settings."""
        base = RenterConfig(me=LOCAL_RENTER, key=self.identity(LOCAL_RENTER).public, hub_keys=self._hub_keys)
        return replace(base, **self._renter_settings)

    def output(self, job_id: str) -> Path:
        """The folder of the table that is the job's result, once it is completed."""
        return JobFolder(self.jobs / job_id).output

    async def _unless_failed(self, work: Any) -> None:
        """Wait for `work`, or raise what ended one of the nodes."""
        waiting = asyncio.ensure_future(work)
        running = [*self._tasks, *(task for _, task in self._working if not task.cancelled())]
        await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                waiting.cancel()
                raise error
        await waiting

    @property
    def services(self) -> Services:
        """What the renter's activities work with."""
        if self._services is None:
            raise RuntimeError("enter the network first")
        return self._services

    def _network(self) -> Network:
        lessors = tuple(
            Participant(name=lessor.partition(".")[2], role="lessor", lanes=max(1, self._workers))
            for lessor in self._lessors
        )
        renter = Participant(name="A12", role="renter", lanes=0)
        hubs = [Hub(name="A11", participants=(renter,)), Hub(name="B11", participants=lessors)]
        links = [Link(hubs=LOCAL_HUBS)]
        if self._partner is not None:
            hubs.append(Hub(name="C11", participants=(Participant(name="C12", role="partner", lanes=0),)))
            links.append(Link(hubs=("A11", LOCAL_PARTNER_HUB)))
        return Network(hubs=tuple(hubs), links=tuple(links))

    @property
    def _hub_keys(self) -> dict[str, bytes]:
        return {hub_address(hub): self._identities[hub_address(hub)].public for hub in self._hubs}

    async def _start_hub(self, hub: str) -> None:
        me = hub_address(hub)
        own: dict[str, bytes] = {
            name: identity.public
            for name, identity in self._identities.items()
            if name.startswith(f"{hub}.") and name != me
        }
        links = [link.hubs for link in self.topology.links if hub in link.hubs]
        linked = tuple(hub_address(each) for link in links for each in link if each != hub)
        config = HubConfig(me=me, hub_keys=self._hub_keys, participants=own, linked=linked)
        node = await hub_node(config, self._folder / me, self._identities[me], self.server.connect(me))
        self.nodes[me] = node
        self._tasks.append(asyncio.create_task(node.run(self._stop)))

    async def _start_renter(self) -> None:
        identity = self._identities[LOCAL_RENTER]
        wishes = RenterWishes(self._folder / LOCAL_RENTER, self._crew, user_file())
        node, self._services = await renter_node(
            self.renter_config, wishes, identity, self.server.connect(LOCAL_RENTER)
        )
        self.nodes[LOCAL_RENTER] = node
        self._renter_stop = asyncio.Event()
        self._renter_task = asyncio.create_task(node.run(self._renter_stop))
        self._tasks.append(self._renter_task)

    async def end_renter(self) -> None:
        """End the renter's process; its queues and store stay."""
        self._renter_stop.set()
        await self._renter_task
        self._tasks.remove(self._renter_task)

    async def begin_renter(self) -> None:
        """Start the renter's process again, where it was ended."""
        await self._start_renter()

    async def _start_partner(self, partner: LocalPartner) -> None:
        identity = self._identities[LOCAL_PARTNER]
        config = PartnerConfig(me=LOCAL_PARTNER, key=identity.public, hub_keys=self._hub_keys)
        wishes = PartnerWishes(self._folder / LOCAL_PARTNER, self._crew, partner.policy, partner.datasets)
        node = await partner_node(
            replace(config, **partner.settings), wishes, identity, self.server.connect(LOCAL_PARTNER)
        )
        self.partner_store = node.store
        self._partner_stop = asyncio.Event()
        self._partner_task = asyncio.create_task(node.run(self._partner_stop))
        self._tasks.append(self._partner_task)

    async def end_partner(self) -> None:
        """End the partner's process; its queues and store stay."""
        if self._partner_task is not None:
            self._partner_stop.set()
            await self._partner_task
            self._tasks.remove(self._partner_task)
            self._partner_task = None

    async def begin_partner(self) -> None:
        """Start the partner's process again, where it was ended."""
        assert self._partner is not None
        await self._start_partner(self._partner)

    @property
    def partner_folder(self) -> Path:
        """Where the partner keeps its files."""
        return self._folder / LOCAL_PARTNER

    async def decide(self, job: str, *, approved: bool, reason: str = "") -> None:
        """What a person at the partner says to a request."""
        broker = self.server.connect(LOCAL_PARTNER)
        await publish_decision(
            Post(self._identities[LOCAL_PARTNER], broker, time.time), job, approved=approved, reason=reason
        )
        await broker.close()

    def _worker(self, lessor: Address) -> LessorWorker:
        config = LessorConfig(
            me=parse_address(lessor),
            key=self._identities[lessor].public,
            hub_keys=self._hub_keys,
            lanes=max(1, self._workers),
            units=self._workers,
        )
        broker = self.server.connect(lessor)
        return lessor_worker(
            config,
            self._identities[lessor],
            broker,
            self._crew,
            self._folder / lessor / "receipts",
            reported=self._reported,
        )
