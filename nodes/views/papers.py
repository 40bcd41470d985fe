"""Contracts and receipts as files that others can verify: found in what a node keeps, or read from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from nodes import contracts
from nodes.config import NodeConfig
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import ContractRecord as HubContract
from nodes.identity import verify
from nodes.renter.protocol.records import JOB_PREFIX, ContractRecord
from nodes.store.port import Store
from nodes.views import accounts
from nodes.views.ids import unique
from nodes.views.source import open_store
from schemas.contracts import Contract, Settlement
from schemas.errors import BadInput, VerificationFailed

FILE_BYTES_MAX: Final = 64 * 1024
P = TypeVar("P", Contract, Settlement)


class PaperInvalid(VerificationFailed):
    """A file is no contract or receipt that its parties signed; the message names it, `code` says what is wrong."""


def verified(kind: type[P], file: Path, hub_keys: Mapping[str, bytes]) -> P:
    """What the file holds, all its signatures and numbers checked, offline.

    Raises:
        BadInput: it cannot be read.
        PaperInvalid: with the code of `verify_contract`, `verify_settlement` or `read_file`.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(FILE_BYTES_MAX)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from error
    try:
        paper = contracts.read_file(kind, raw)
        if isinstance(paper, Settlement):
            contracts.verify_settlement(paper, hub_keys, verify)
        else:
            contracts.verify_contract(paper, hub_keys, verify)
    except VerificationFailed as error:
        raise PaperInvalid(f"{file}: {error}", code=error.code) from error
    return paper


def as_file(paper: Contract | Settlement) -> bytes:
    """What `verified` reads."""
    return contracts.to_file(paper)


async def known_ids(config: NodeConfig) -> set[str]:
    """Contracts of this node that run, or that have a receipt; a lessor's files are not verified."""
    if config.role == "lessor":
        return await asyncio.to_thread(lambda: {each.stem for each in config.receipts.glob("*/contract-*.json")})
    async with open_store(config) as store:
        settled = await accounts.in_store(store)
        return {each.contract.id for each in settled} | {*await _under_way(store)}


async def receipt(config: NodeConfig, contract: str) -> Settlement:
    """The receipt of the contract with this id or unique beginning of one; raises BadConfig: there is none."""
    found, _ = await accounts.settlements(config)
    by = {each.contract.id: each for each in found}
    return by[unique(contract, by, "receipt of a contract")]


async def contract(config: NodeConfig, wanted: str) -> Contract:
    """A contract of this node that runs, or that has a receipt; raises as `receipt`."""
    found, _ = await accounts.settlements(config)
    by = {each.contract.id: each.contract for each in found}
    if config.role != "lessor":
        async with open_store(config) as store:
            by |= await _under_way(store)
    return by[unique(wanted, by, "contract")]


async def _under_way(store: Store) -> dict[str, Contract]:
    names = [AGGREGATE, *await store.aggregates(JOB_PREFIX)]
    records = [each for name in names for each in (await store.read(name)).values()]
    return {each.contract.id: each.contract for each in records if isinstance(each, ContractRecord | HubContract)}
