"""The user's desk at a node of a running network: jobs go in here, and are taken back."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from broker.port import Broker
from nodes.asking import told_market
from nodes.bootstrap.connecting import connect
from nodes.bootstrap.evidence import evidence_policy
from nodes.config import NodeConfig
from nodes.data.port import Source
from nodes.partner.decision import publish_decision
from nodes.protections import CIPHERTEXT, asked
from nodes.renter.files.idempotency import Keys, Submitted, content_of
from nodes.renter.protocol.records import JOB_PREFIX
from nodes.renter.submission import JobOptions, new_job_id, publish_cancel, publish_delete, publish_job, stage
from nodes.runtime.post import Post
from nodes.runtime.storage import StorageFailed, is_fault
from nodes.store.blobs import BlobStore
from nodes.views.market import Market
from nodes.views.source import open_store
from schemas.errors import PolicyRefused, SubletError
from schemas.jobs import JobSpec

CONNECT_SECONDS_MAX: Final = 5.0
"""A person waits: shorter than what node processes allow a starting broker."""
FOLDER_MODE: Final = 0o700


async def submit(
    config: NodeConfig, data: Path | Source, program: bytes, local_program: bytes | None, options: JobOptions
) -> str:
    """Stage a job and hand it to this renter's workers; its id. Without success nothing of it is left.

    Raises:
        BadInput: the files or wishes cannot be used.
        PolicyRefused: the renter's own policy forbids it.
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
        StorageFailed: the disk is full, or fails.
    """
    return await _submit(config, data, program, local_program, options, _keep_nothing)


async def submit_once(  # noqa: PLR0917 - what `submit` takes, and the key
    config: NodeConfig, key: str, data: Path, program: bytes, local_program: bytes | None, options: JobOptions
) -> str:
    """As `submit`; but where the same was submitted under this key before, that job's id, and no other job.

    Raises:
        KeyTaken: something else was submitted under this key.
    """
    content = await asyncio.to_thread(content_of, data, program, local_program, options)
    keys, lock = Keys(config.keys), ExitStack()
    await asyncio.to_thread(lock.enter_context, keys.locked())
    with lock:
        async with open_store(config) as store:
            taken = set(await store.aggregates(JOB_PREFIX))
        keys.forget(lambda job: job in taken or (config.jobs / job).is_dir())
        known = keys.find(key, content)
        if known is None:
            try:
                return await _submit(
                    config,
                    data,
                    program,
                    local_program,
                    options,
                    lambda spec: keys.keep(key, Submitted(job=spec.id, content=content, spec=spec)),
                )
            except BaseException:
                keys.drop(key)
                raise
        if known.job not in taken:  # whoever submitted it may have been killed before it was sent
            async with _connected(config) as broker:
                await publish_job(Post(config.identity(), broker, time.time), known.spec)
        return known.job


def _keep_nothing(_: JobSpec) -> None:
    """Of a submission without a key."""


async def _submit(  # noqa: PLR0917 - what `submit` takes, and a hook
    config: NodeConfig,
    data: Path | Source,
    program: bytes,
    local_program: bytes | None,
    options: JobOptions,
    before: Callable[[JobSpec], None],
) -> str:
    """`before` is called when the job is staged and not yet sent."""
    _check_policy(config, options)
    identity, job = config.identity(), new_job_id()

    def staging() -> JobSpec:
        for folder in (config.data_dir, config.jobs):
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        blobs = BlobStore(config.blobs)
        spec = stage(data, program, local_program, options, jobs=config.jobs, blobs=blobs, job_id=job)
        before(spec)
        return spec

    try:
        spec = await asyncio.to_thread(staging)
        async with _connected(config) as broker:
            await publish_job(Post(identity, broker, time.time), spec)
    except BaseException as error:
        shutil.rmtree(config.jobs / job, ignore_errors=True)
        if is_fault(error):
            raise StorageFailed.of(error, config.data_dir) from error
        raise
    return job


async def cancel(config: NodeConfig, job: str) -> None:
    """Ask this renter's workers to take the job back.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
    """
    async with _connected(config) as broker:
        await publish_cancel(Post(config.identity(), broker, time.time), job)


async def delete(config: NodeConfig, job: str) -> None:
    """Ask this renter's workers to remove all that there is of a job; one that runs is taken back first.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
    """
    async with _connected(config) as broker:
        await publish_delete(Post(config.identity(), broker, time.time), job)


async def decide(config: NodeConfig, job: str, *, approved: bool, reason: str = "") -> None:
    """Tell this partner's workers that a person approves a request; or refuses it, or withdraws.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
    """
    async with _connected(config) as broker:
        await publish_decision(Post(config.identity(), broker, time.time), job, approved=approved, reason=reason)


async def market(config: NodeConfig) -> Market:
    """What compute there is, as this participant's hub knows.

    Raises:
        BrokerUnreachable: no connection within `CONNECT_SECONDS_MAX`.
        HubSilent: it does not answer.
    """
    async with _connected(config) as broker:
        return await told_market(Post(config.identity(), broker, time.time), broker, config.network.hub_keys)


async def market_or_none(config: NodeConfig) -> Market | None:
    """The same, for who can do without: None where nobody answers."""
    try:
        return await market(config)
    except SubletError:
        return None


def _check_policy(config: NodeConfig, options: JobOptions) -> None:
    """What this renter would refuse later anyway.

    Raises:
        PolicyRefused: saying which option or setting would allow it.
        BadConfig: the renter's policy file.
    """
    accepted = evidence_policy(config)
    if options.accept_software_enclave and not accepted.accept_software:
        raise PolicyRefused(
            f"{config.address} never accepts software enclaves: its [renter] settings or policy file forbid them"
        )
    wanted = asked(options.protection)
    if wanted and wanted.attested and not accepted.kinds and not options.accept_software_enclave:
        raise PolicyRefused(
            f"--protection {options.protection} finds only software enclaves, which are not confidential: accept that "
            f"by --accept-software-enclave, or use --protection {CIPHERTEXT.name}"
        )


@asynccontextmanager
async def _connected(config: NodeConfig) -> AsyncIterator[Broker]:
    broker = await connect(config, timeout_seconds=CONNECT_SECONDS_MAX)
    try:
        yield broker
    finally:
        await broker.close()
