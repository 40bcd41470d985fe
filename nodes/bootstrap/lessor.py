"""A lessor's worker, wired."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.port import Broker
from nodes.bootstrap.tasks import together
from nodes.config import NodeConfig
from nodes.crew.crew import Crew
from nodes.enclave.attestation.measure import measurement
from nodes.enclave.attestation.port import Quoter
from nodes.enclave.attestation.producers.host import collateral_file, hardware_quoter
from nodes.enclave.attestation.producers.quoting import no_collateral
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.host.process import EnclaveOptions, EnclaveProcess
from nodes.identity import Identity
from nodes.lessor.compute.workshop import Workshop
from nodes.lessor.protocol.config import LessorConfig
from nodes.lessor.receipts import Receipts
from nodes.lessor.refusals import Refusals
from nodes.lessor.worker import LessorWorker
from nodes.operations.telemetry import Telemetry
from nodes.renewal import follow_files
from schemas.ids import derive_id
from schemas.limits import KEEP_RECEIPTS_DAYS_DEFAULT
from schemas.money import to_micros

MIB: Final = 1024 * 1024


async def serve_lessor(  # noqa: PLR0917 - as every role's
    config: NodeConfig, identity: Identity, broker: Broker, crew: Crew, stop: asyncio.Event, telemetry: Telemetry
) -> None:
    """A lessor's worker."""
    settings, hardware = lessor_config(config, identity), lessor_hardware(config)
    worker = lessor_worker(
        settings,
        identity,
        broker,
        crew,
        config.receipts,
        keep_receipts_days=config.keep_receipts_days,
        hardware=hardware,
        telemetry=telemetry,
    )

    def taken_up(changed: NodeConfig) -> None:
        worker.configure(lessor_config(changed, identity))

    await together(stop, worker.run(stop), follow_files(config, identity, taken_up))


def lessor_worker(
    config: LessorConfig,
    identity: Identity,
    broker: Broker,
    crew: Crew,
    receipts_in: Path,
    *,
    keep_receipts_days: float = KEEP_RECEIPTS_DAYS_DEFAULT,
    reported: bytes | None = None,
    hardware: Quoter | None = None,
    telemetry: Telemetry | None = None,
) -> LessorWorker:
    """One worker of a lessor. Its enclaves are vouched for by `hardware`; without, they are software enclaves, vouched
    for by a development key that dies with the worker.

    `receipts_in` is the folder for receipts, which all workers of a lessor share; beside it is what was refused last.
    `reported` is the measurement that
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
        receipts=Receipts(receipts_in, keep_receipts_days),
        refusals=Refusals(receipts_in.parent, time.time),
        telemetry=telemetry or Telemetry(),
    )


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


def lessor_hardware(config: NodeConfig) -> Quoter | None:
    """The quoting service of this host's hardware, when the lessor's settings ask for it.

    Raises:
        NoEvidence: they do, and the host has none.
    """
    if config.lessor is None or config.lessor.evidence == "software":
        return None
    path = config.collateral_file
    return hardware_quoter(collateral=no_collateral if path is None else collateral_file(path))
