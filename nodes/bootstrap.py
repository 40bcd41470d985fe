"""The composition root: the one place that wires roles, stores, brokers, clocks and randomness."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from broker.network import next_hops
from broker.port import Broker
from nodes import receipts
from nodes.allocator import keep_memory
from nodes.config import NodeConfig, PartnerSettings, RenterSettings, broker_name
from nodes.crew.crew import Crew
from nodes.data.reading import Dialect, Reading
from nodes.enclave.attestation.measure import measurement
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.policy_file import read_policy
from nodes.enclave.attestation.port import Quoter
from nodes.enclave.attestation.producers.host import collateral_file, hardware_quoter
from nodes.enclave.attestation.producers.quoting import no_collateral
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.attestation.verifiers import all_verifiers
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.hub.directory import HubConfig
from nodes.hub.machine import AGGREGATE, HubMachine
from nodes.identity import Identity
from nodes.lessor.compute.workshop import Workshop
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.receipts import Receipts
from nodes.lessor.worker import LessorWorker
from nodes.machine import Machine
from nodes.network import described
from nodes.operations.server import Desk as OperatorsDesk
from nodes.operations.server import Place as Port
from nodes.operations.server import serving
from nodes.operations.telemetry import Telemetry
from nodes.page.beside import page_beside
from nodes.partner.activities.aligning import partners_aligner
from nodes.partner.activities.collect import Collector as SealedCollector
from nodes.partner.activities.desk import Desk
from nodes.partner.activities.services import Dataset
from nodes.partner.activities.services import Services as PartnerServices
from nodes.partner.activities.table import activities as partner_activities
from nodes.partner.protocol.config import PartnerConfig
from nodes.partner.protocol.machine import PartnerMachine
from nodes.renewal import follow_files
from nodes.renter.activities.answers import Answers
from nodes.renter.activities.collect import Collector
from nodes.renter.activities.services import Services
from nodes.renter.activities.table import Hands, activities
from nodes.renter.invitation import release
from nodes.renter.protocol.config import RenterConfig
from nodes.renter.protocol.machine import UNDELIVERED, RenterMachine
from nodes.roles import ROLES
from nodes.runtime.door import Door
from nodes.runtime.hearing import Hearing
from nodes.runtime.heartbeats import Heartbeats
from nodes.runtime.links import Links
from nodes.runtime.loop import Runtime
from nodes.runtime.outbox import Activity
from nodes.runtime.post import Post
from nodes.runtime.storage import Storage
from nodes.runtime.undelivered import Undelivered
from nodes.store.blobs import BlobStore
from nodes.store.opening import Place
from nodes.store.port import Store
from nodes.views.phases import Phases
from schemas.ids import Address, derive_id, hub_address, hub_of
from schemas.limits import DAY_SECONDS
from schemas.money import to_micros

T = TypeVar("T")

CONNECT_SECONDS_MAX: Final = 300.0
"""A node waits this long for its broker at its start: the parts of a stack come up in any order."""
MIB: Final = 1024 * 1024


def new_job_id() -> str:
    """A fresh job id."""
    return derive_id("job", os.urandom(16).hex())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


# ---------------------------------------------------------------- roles


@dataclass(slots=True)
class StoredNode:
    """A hub or renter process: the runtime, its store, and whatever runs beside it."""

    runtime: Runtime
    store: Store
    beside: tuple[Callable[[], Any], ...] = ()
    machine: Any = None
    """What it decides with."""

    def following(
        self, config: NodeConfig, identity: Identity, configured: Callable[[NodeConfig, Identity], Any]
    ) -> StoredNode:
        """The same, which takes up another key or network description when their files change."""

        def taken_up(changed: NodeConfig) -> None:
            self.machine.config = configured(changed, identity)

        self.beside = (*self.beside, lambda: follow_files(config, identity, taken_up))
        return self

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        try:
            await _together(stop, self.runtime.run(stop), *(each() for each in self.beside))
        finally:
            await self.store.close()


@dataclass(frozen=True, slots=True)
class RenterWishes:
    """Settings of a renter that are not public keys.

    `evidence` is what it accepts of enclaves; its `accept_software` says whether a job may opt in to software ones.
    """

    data_dir: Path
    crew: Crew
    calibration: Path | None = None
    """Where measurements of this machine are kept; by default in `data_dir`."""
    evidence: Policy = field(default=Policy(accept_software=True))
    store_url: str | None = field(default=None, repr=False)
    """Of a database server; without, the store is a file in `data_dir`."""


@dataclass(frozen=True, slots=True)
class PartnerWishes:
    """Settings of a partner that are not public keys."""

    data_dir: Path
    crew: Crew
    policy: Path
    datasets: Mapping[str, Dataset]
    store_url: str | None = field(default=None, repr=False)
    """Likewise."""


async def hub_node(
    config: HubConfig,
    data_dir: Path,
    identity: Identity,
    broker: Broker,
    store_url: str | None = None,
    *,
    telemetry: Telemetry | None = None,
) -> StoredNode:
    """A hub's process; without a URL its store is a file in `data_dir`."""
    telemetry = telemetry or Telemetry()
    machine = HubMachine(config)
    store = await Place(data_dir, store_url).open(identity.address, machine.record_types)
    storage = Storage(data_dir)
    blobs = BlobStore(data_dir / "blobs")
    activities = {receipts.DROP: partial(_drop, store)}
    runtime = _runtime(machine, identity, broker, store, activities, blobs, storage, telemetry, endless=(AGGREGATE,))
    door, post = _door(machine, identity, storage, telemetry), Post(identity, broker, time.time, telemetry)
    links = Links(set(config.bridged.values()))

    def key_of(hub: str) -> bytes | None:
        return machine.config.hub_keys.get(hub)

    beside: tuple[Callable[[], Any], ...] = (Undelivered(broker, door, post).run,)
    if links.neighbours:
        beats = Heartbeats(broker, door, post, key_of, links, runtime.submit, AGGREGATE, time.monotonic)
        beside = (*beside, beats.run)
    telemetry.health.links = links.standing
    return StoredNode(runtime, store, beside, machine)


async def renter_node(
    config: RenterConfig, wishes: RenterWishes, identity: Identity, broker: Broker, telemetry: Telemetry | None = None
) -> tuple[StoredNode, Services]:
    """A renter's process: the machine, its activities, and the collector of results."""
    telemetry = telemetry or Telemetry()
    machine = RenterMachine(config)
    store = await Place(wishes.data_dir, wishes.store_url).open(identity.address, machine.record_types)
    services = renter_services(wishes, identity, store)
    hands = Hands.of(services, Post(identity, broker, time.time, telemetry))
    storage = Storage(wishes.data_dir)
    wait_seconds = min(config.batch_deadline_seconds, config.handshake_seconds_max)
    hearing = Hearing(broker, config.me, "result", wait_seconds=wait_seconds, clock=time.time)
    offered = activities(hands) | {receipts.DROP: partial(_drop, store)}
    runtime = _runtime(
        machine,
        identity,
        broker,
        store,
        offered,
        services.blobs,
        storage,
        telemetry,
        lambda: hearing.since,
        endless=(UNDELIVERED,),
    )
    telemetry.health.jobs = Phases(store).count
    door, answers = _door(machine, identity, storage, telemetry), Answers(services, hands.workbench)
    collector = Collector(services, hands.workbench, broker, door, runtime.submit, answers, hands.aligner, hearing)
    return StoredNode(runtime, store, (collector.run, hearing.run), machine), services


def renter_services(wishes: RenterWishes, identity: Identity, store: Store) -> Services:
    """What a renter's activities work with."""
    evidence = replace(wishes.evidence, measurements=wishes.evidence.measurements | {measurement()})

    def policy(accept_software: bool) -> Policy:
        return replace(evidence, accept_software=accept_software and evidence.accept_software)

    return Services(
        identity=identity,
        store=store,
        blobs=BlobStore(wishes.data_dir / "blobs"),
        jobs=wishes.data_dir / "jobs",
        clock=time.time,
        core_clock=time.thread_time,
        crew=wishes.crew,
        calibration=wishes.calibration or wishes.data_dir / "calibration.json",
        policy=policy,
        verifiers=all_verifiers(),
    )


async def partner_node(
    config: PartnerConfig,
    wishes: PartnerWishes,
    identity: Identity,
    broker: Broker,
    telemetry: Telemetry | None = None,
) -> StoredNode:
    """A partner's process: the machine, its activities, and the collector of sealed results."""
    telemetry = telemetry or Telemetry()
    machine = PartnerMachine(config)
    store = await Place(wishes.data_dir, wishes.store_url).open(identity.address, machine.record_types)
    services = PartnerServices(
        identity=identity,
        store=store,
        blobs=BlobStore(wishes.data_dir / "blobs"),
        jobs=wishes.data_dir / "jobs",
        clock=time.time,
        crew=wishes.crew,
        policy=wishes.policy,
        datasets=wishes.datasets,
    )
    desk, aligner = Desk(services), partners_aligner(services, Post(identity, broker, time.time, telemetry))
    storage = Storage(wishes.data_dir)
    offered = partner_activities(services, desk, aligner)
    blobs = services.blobs
    hearing = Hearing(broker, config.me, "result", wait_seconds=config.renter_seconds_max, clock=time.time)
    runtime = _runtime(
        machine,
        identity,
        broker,
        store,
        offered,
        blobs,
        storage,
        telemetry,
        lambda: hearing.since,
        endless=(UNDELIVERED,),
    )
    telemetry.health.jobs = Phases(store).count
    door = _door(machine, identity, storage, telemetry)
    collector = SealedCollector(services, desk, broker, door, runtime.submit, aligner, hearing)
    return StoredNode(runtime, store, (collector.run, hearing.run), machine)


def lessor_worker(
    config: LessorConfig,
    identity: Identity,
    broker: Broker,
    crew: Crew,
    receipts_kept: Receipts,
    *,
    reported: bytes | None = None,
    hardware: Quoter | None = None,
    telemetry: Telemetry | None = None,
) -> LessorWorker:
    """One worker of a lessor. Its enclaves are vouched for by `hardware`; without, they are software enclaves, vouched
    for by a development key that dies with the worker.

    `receipts_kept` is the folder for receipts, which all workers of a lessor share. `reported` is the measurement that
    software enclaves claim instead of their own: they can claim anything.
    """
    quoter = hardware or SoftwareQuoter(Ed25519PrivateKey.generate(), reported or measurement())
    options = EnclaveOptions(memory_bytes=config.memory_mib * MIB)

    async def start_enclave() -> EnclaveProcess:
        process = EnclaveProcess(quoter, options)
        await process.start()
        return process

    return LessorWorker(
        enclaves="software: not confidential" if hardware is None else "vouched for by this host's hardware",
        config=config,
        identity=identity,
        broker=broker,
        clock=time.time,
        name=derive_id("worker", os.urandom(16).hex()),
        workshop=Workshop(crew, start_enclave),
        receipts=receipts_kept,
        telemetry=telemetry or Telemetry(),
    )


def _runtime(  # noqa: PLR0917 - wires what it is given
    machine: Machine,
    identity: Identity,
    broker: Broker,
    store: Store,
    activities: Mapping[str, Activity],
    blobs: BlobStore,
    storage: Storage,
    telemetry: Telemetry,
    hearing_since: Callable[[], float] = lambda: 0.0,
    endless: Sequence[str] = (),
) -> Runtime:
    return Runtime(
        machine=machine,
        broker=broker,
        store=store,
        identity=identity,
        clock=time.time,
        activities=activities,
        blobs=blobs,
        entropy=os.urandom,
        storage=storage,
        hearing_since=hearing_since,
        endless=endless,
        telemetry=telemetry,
    )


async def _drop(store: Store, _: dict[str, Any], aggregate: str) -> Sequence[tuple[str, Struct]]:
    """Activity `drop-receipts`: a day's are old enough."""
    await store.erase(aggregate)
    return ()


def _door(machine: Machine, identity: Identity, storage: Storage, telemetry: Telemetry) -> Door:
    """For what is consumed beside the loop."""
    return Door(identity.address, machine.name, time.time, storage=storage, telemetry=telemetry)


# ---------------------------------------------------------------- one role on RabbitMQ


async def run_node(config: NodeConfig, stop: asyncio.Event) -> None:
    """One role as a process on RabbitMQ, until `stop` is set; also while it waits for its broker.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
        BadConfig: what is configured cannot be run.
    """
    keep_memory()
    identity, telemetry = config.identity(), telemetry_of(config, config.role)
    async with operating(config, config.role, config.operations.port, telemetry, stop), page_beside(config):
        broker = await _unless(stop, connect(config))
        if broker is None:
            return
        telemetry.health.broker = lambda: "" if broker.connected else _unconnected(config)
        crew, row = Crew(hands(config)), ROLES[config.role]
        try:
            await row.load(row.server)(config, identity, broker, crew, stop, telemetry)
        finally:
            await crew.close()
            await broker.close()


def telemetry_of(config: NodeConfig, role: str) -> Telemetry:
    """What a process of this node tells its operators. Raises BadConfig: traces are wanted, and cannot be exported."""
    telemetry = Telemetry()
    telemetry.health.broker = lambda: _unconnected(config)
    if config.operations.traces is not None:
        from nodes.operations.otel import Exported  # noqa: PLC0415 - an extra

        telemetry.tracing.spans = Exported(config.operations.traces, config.address, role)
    return telemetry


@contextlib.asynccontextmanager
async def operating(
    config: NodeConfig, role: str, port: int | None, telemetry: Telemetry, stop: asyncio.Event
) -> AsyncIterator[None]:
    """While it lasts, operators are told how the process is; at its end, what is left of traces.

    Raises:
        BadConfig: the port cannot be taken.
    """
    place = None if port is None else Port(config.operations.address, port)
    telemetry.health.stopping = stop.is_set
    try:
        async with serving(place, OperatorsDesk(config.address, role, telemetry.health, telemetry.metrics)):
            yield
    finally:
        await asyncio.to_thread(telemetry.tracing.spans.close)


def _unconnected(config: NodeConfig) -> str:
    return f"no connection to the broker at {broker_name(config.amqp_url)}"


async def serve_hub(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A hub's process."""
    node = await hub_node(hub_config(config), config.data_dir, identity, broker, config.store_url, telemetry=telemetry)
    await node.following(config, identity, lambda changed, _: hub_config(changed)).run(stop)


async def serve_renter(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A renter's process."""
    evidence = evidence_policy(config)
    wishes = RenterWishes(config.data_dir, crew, evidence=evidence, store_url=config.store_url)
    node, _ = await renter_node(renter_config(config, identity), wishes, identity, broker, telemetry)
    await node.following(config, identity, renter_config).run(stop)


async def serve_partner(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A partner's process."""
    settings = config.partner or PartnerSettings()
    policy, datasets = config.folder / settings.policy_file, partner_datasets(config)
    wishes = PartnerWishes(config.data_dir, crew, policy, datasets, config.store_url)
    node = await partner_node(partner_config(config, identity), wishes, identity, broker, telemetry)
    await node.following(config, identity, partner_config).run(stop)


async def serve_lessor(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A lessor's worker."""
    settings, hardware = lessor_config(config, identity), lessor_hardware(config)
    kept = Receipts(config.receipts, config.keep_receipts_days)
    worker = lessor_worker(settings, identity, broker, crew, kept, hardware=hardware, telemetry=telemetry)

    def taken_up(changed: NodeConfig) -> None:
        worker.configure(lessor_config(changed, identity))

    await _together(stop, worker.run(stop), follow_files(config, identity, taken_up))


def hands(config: NodeConfig) -> int:
    """Processes that compute on ciphertexts: as configured, or one per core."""
    settings = config.lessor or config.renter or config.partner
    return (settings.cores if settings is not None else None) or cores()


async def connect(config: NodeConfig, *, timeout_seconds: float = CONNECT_SECONDS_MAX) -> Broker:
    """The node's connection to its broker.

    Raises:
        BrokerUnreachable: no connection within `timeout_seconds`.
    """
    from broker.rabbitmq import connect as connect_rabbitmq  # noqa: PLC0415 - commands without a broker start faster

    return await connect_rabbitmq(config.current_amqp_url, config.address, timeout_seconds=timeout_seconds)


def lessor_config(config: NodeConfig, identity: Identity) -> LessorConfig:
    """The lessor's public settings."""
    settings = config.lessor
    assert settings is not None
    return LessorConfig(
        me=config.address,
        key=identity.public,
        hub_keys=config.network.hub_keys,
        lanes=settings.lanes,
        units=settings.units,
        price_micros=to_micros(settings.price, "price"),
        charged_seconds_min=settings.charged_seconds_min,
        idle_seconds_max=settings.idle_seconds_max,
        protections=settings.protections,
        memory_mib=settings.memory_mib,
    )


def renter_config(config: NodeConfig, identity: Identity) -> RenterConfig:
    """The renter's public settings."""
    settings = config.renter or RenterSettings()
    return RenterConfig(
        me=config.address,
        key=identity.public,
        newest=identity.newest,
        hub_keys=config.network.hub_keys,
        batch_deadline_seconds=settings.batch_deadline_seconds,
        handshake_seconds_max=settings.handshake_seconds_max,
        batch_window=settings.batch_window,
        keep_seconds=settings.keep_days * DAY_SECONDS,
        keep_receipts_seconds=config.keep_receipts_days * DAY_SECONDS,
        partner_seconds_max=settings.partner_seconds_max,
        approval_seconds_max=settings.approval_seconds_max,
    )


def partner_config(config: NodeConfig, identity: Identity) -> PartnerConfig:
    """The partner's public settings."""
    settings = config.partner or PartnerSettings()
    return PartnerConfig(
        me=config.address,
        key=identity.public,
        newest=identity.newest,
        release=release(),
        hub_keys=config.network.hub_keys,
        renter_seconds_max=settings.renter_seconds_max,
        approval_seconds_max=settings.approval_seconds_max,
    )


def partner_datasets(config: NodeConfig) -> Mapping[str, Dataset]:
    """The tables that the partner has, by name."""
    settings = config.partner or PartnerSettings()
    return {
        name: Dataset(
            config.folder / each.file,
            Reading(each.id_column, (), Dialect(each.delimiter, each.decimal, each.encoding), each.missing),
            each.outliers,
        )
        for name, each in settings.datasets.items()
    }


def evidence_policy(config: NodeConfig) -> Policy:
    """What a renter accepts of enclaves; `accept_software` says whether a job may opt in to software ones.

    Raises:
        BadConfig: its policy file cannot be read, or a field is not right; naming it.
    """
    settings = config.renter or RenterSettings()
    accepted = Policy(accept_software=True) if config.policy_file is None else read_policy(config.policy_file)
    return replace(
        accepted,
        measurements=accepted.measurements | {bytes.fromhex(each) for each in settings.measurements},
        accept_software=accepted.accept_software and settings.allow_software_enclaves,
    )


def lessor_hardware(config: NodeConfig) -> Quoter | None:
    """The quoting service of this host's hardware, when the lessor's settings ask for it.

    Raises:
        NoEvidence: they do, and the host has none.
    """
    if config.lessor is None or config.lessor.evidence == "software":
        return None
    path = config.collateral_file
    return hardware_quoter(collateral=no_collateral if path is None else collateral_file(path))


def hub_config(config: NodeConfig) -> HubConfig:
    """The hub's directory."""
    participants = config.subnet.keys if config.subnet is not None else {}
    network = config.network
    linked = tuple(map(hub_address, network.linked_to(hub_of(config.address))))
    ways = next_hops(described(network), config.hub).items() if config.links else ()
    bridged: dict[str, Address] = {hub_address(to): hub_address(via) for to, via in ways if via in config.links}
    return HubConfig(
        me=config.address,
        hub_keys=network.hub_keys,
        participants=participants,
        linked=linked,
        bridged=bridged,
        keep_receipts_seconds=config.keep_receipts_days * DAY_SECONDS,
    )


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` gives; None, and it is cancelled, when `stop` is set before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait([working, stopping])
    return None if working.cancelled() else working.result()


async def _together(stop: asyncio.Event, until: Coroutine[Any, Any, Any], *beside: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; then `stop` is set, `until` ends by it, and what runs beside it is cancelled."""
    ending, tasks = asyncio.create_task(until), [asyncio.create_task(each) for each in beside]
    try:
        await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(ending, *tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
