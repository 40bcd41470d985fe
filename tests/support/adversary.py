"""Somebody who took what others hold and tries all of it on ciphertexts: for tests that show what a theft opens.

The attack knows the protocol and everything public: programs, contracts, contexts. It is written against the format of
the wire and not with the code under test, and it ignores key commitments: one chunk that opens is a success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from broker.embedded import EmbeddedServer
from broker.port import Message
from broker.topology import Permission
from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import DATA, RESULT, BatchContext
from nodes.enclave.agreement.key_agreement import KeyPair, Sealed, SealSpec
from nodes.enclave.attestation.port import Quoter
from nodes.enclave.child.engine import Enclave
from nodes.enclave.child.lockdown import ALL_PROTECTIONS
from nodes.enclave.host.process import EnclaveOptions, Executed
from schemas import codec
from schemas.events import Event

CHUNK_BYTES, TAG_BYTES, HEADER_BYTES, SALT_BYTES, KEY_BYTES, NONCE_BYTES = 16 * 1024, 16, 56, 24, 32, 12
INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
WINDOWED_BYTES_MAX = 256


@dataclass
class OpenEnclave:
    """An enclave without walls, in the place of `EnclaveProcess`: it does the same, and keeps every key it ever had."""

    quoter: Quoter
    options: EnclaveOptions | None = None
    inside: Enclave = field(default_factory=Enclave)
    contract: str = ""
    pairs: list[KeyPair] = field(default_factory=list)
    offers: list[bytes] = field(default_factory=list)
    pid: int = 0
    alive: bool = True
    protections: tuple[str, ...] = ALL_PROTECTIONS

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to end: what it held is what is examined."""

    async def offer(self, nonce: bytes, contract: str, job: str) -> bytes:
        """As `EnclaveProcess.offer`."""
        public, report_data = self.inside.offer(nonce, contract, job)
        assert self.inside._pending is not None
        self.contract = contract
        self.pairs.append(self.inside._pending.keys)
        return self.quoter.quote(report_data=report_data, pub=public, nonce=nonce, job=job, debug=False)

    async def accept(
        self,
        sealed: bytes,
        signature: bytes,
        *,
        renter_public: bytes,
        policy_digest: bytes,
        claims: bytes,
        program: bytes,
        seal: SealSpec | None = None,
    ) -> bytes:
        """As `EnclaveProcess.accept`."""
        pending = self.inside._pending
        assert pending is not None
        self.offers.append(
            key_agreement.offer_digest(
                nonce=pending.nonce,
                contract=pending.contract,
                enclave_public=pending.keys.public,
                claims=claims,
                policy=policy_digest,
                renter_public=renter_public,
            )
        )
        handed = Sealed(sealed, signature)
        return self.inside.accept(
            handed, renter_public=renter_public, policy=policy_digest, claims=claims, program=program, seal=seal
        )

    async def execute(self, context: BatchContext, body: bytes) -> Executed:
        """As `EnclaveProcess.execute`."""
        return Executed(bytes(self.inside.execute(context, memoryview(body))), 0.0)


@dataclass
class Wiretap:
    """Every message that the embedded broker was given."""

    messages: list[Message] = field(default_factory=list)

    def install(self, server: EmbeddedServer) -> None:
        """Record from now on."""
        publish = server.publish

        def recording(permission: Permission, message: Message) -> None:
            self.messages.append(message)
            publish(permission, message)

        server.publish = recording  # type: ignore[method-assign]

    def events(self, *types: str) -> Iterator[tuple[Event, bytes]]:
        """Recorded events of these types with their bodies."""
        for message in self.messages:
            if not message.headers:
                continue  # an echo: it says nothing
            event = codec.decode(message.headers, message.body).event
            if event.type in types:
                yield event, message.body


@dataclass(frozen=True)
class Intercepted:
    """One encrypted batch or result, and what is public about it."""

    contract: str
    job: str
    context: BatchContext
    body: bytes


def intercepted(tap: Wiretap, schema: bytes) -> list[Intercepted]:
    """All batches and results that went over the wire."""
    found = []
    for event, body in tap.events("batch.dispatched", "batch.completed"):
        batch = codec.batch_of(event)
        direction = DATA if event.type == "batch.dispatched" else RESULT
        context = BatchContext(
            job=batch.job,
            subtask=batch.subtask,
            batch=batch.batch,
            attempt=batch.attempt,
            direction=direction,
            epoch=0,
            schema=schema,
            first_row=batch.first_row,
            rows=batch.rows,
        )
        found.append(Intercepted(batch.contract, batch.job, context, body))
    return found


def opens(secret: bytes, target: Intercepted) -> bool:
    """Whether 32 bytes open anything of a body: as its key, or as the secret that its key is derived from."""
    keys = [secret]
    keys += [key_agreement.data_key(secret, target.contract, target.job, way, 0) for way in (DATA, RESULT)]
    return any(_first_or_last_chunk_opens(key, target) for key in keys)


def _first_or_last_chunk_opens(key: bytes, target: Intercepted) -> bool:
    salt = target.body[:SALT_BYTES]
    raw = HKDFExpand(SHA512(), KEY_BYTES + NONCE_BYTES, INFO + salt + target.context.digest()).derive(key)
    cipher, base = AESGCM(raw[:KEY_BYTES]), int.from_bytes(raw[KEY_BYTES:], "big")
    whole = CHUNK_BYTES + TAG_BYTES
    chunks = [target.body[at : at + whole] for at in range(HEADER_BYTES, len(target.body), whole)]
    for index in {0, len(chunks) - 1}:
        try:
            cipher.decrypt((base ^ index).to_bytes(NONCE_BYTES, "big"), chunks[index], None)
        except InvalidTag:
            continue
        return True
    return False


def unseals(pair: KeyPair, offers: Iterable[bytes], sealed: bytes) -> bool:
    """Whether an enclave's private key opens a sealed secret under any offer that was ever made."""
    hpke = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA512, AEAD.AES_256_GCM)
    for offer in offers:
        try:
            hpke.decrypt(sealed, pair.private, info=offer)
        except (InvalidTag, ValueError):
            continue
        return True
    return False


def keep_seeds(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, list[bytes]]:
    """The secret seeds of every enclave key pair that is made from now on, by its public key."""
    seeds: dict[bytes, list[bytes]] = {}
    make = KeyPair.from_seeds

    def keeping(mlkem_seed: bytes, x25519_seed: bytes) -> KeyPair:
        pair = make(mlkem_seed, x25519_seed)
        seeds[pair.public] = [mlkem_seed, x25519_seed]
        return pair

    monkeypatch.setattr(KeyPair, "from_seeds", staticmethod(keeping))
    return seeds


def windows(held: Iterable[bytes], *, every: int = 1) -> set[bytes]:
    """The 32 bytes at every (`every`-th) place of what is held; of values longer than two spans both ends only."""
    found, span = set(), WINDOWED_BYTES_MAX * every
    for value in held:
        parts = [value] if len(value) <= 2 * span else [value[:span], value[-span:]]
        for part in parts:
            found |= {part[at : at + KEY_BYTES] for at in range(0, len(part) - KEY_BYTES + 1, every)}
            found |= {part[-KEY_BYTES:]} if len(part) >= KEY_BYTES else set()
    return found


def bytes_in(value: Any, seen: set[int] | None = None) -> Iterator[bytes]:
    """All bytes and texts inside plain data: containers, structs, dataclasses and objects with fields."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, bytes | bytearray | memoryview):
        yield bytes(value)
    elif isinstance(value, str):
        yield value.encode()
    elif isinstance(value, dict):
        for each in (*value.keys(), *value.values()):
            yield from bytes_in(each, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from bytes_in(each, seen)
    elif not isinstance(value, int | float | datetime | type) and not callable(value):
        names = [*getattr(value, "__dict__", ()), *_slots(type(value))]
        for name in names:
            yield from bytes_in(getattr(value, name, None), seen)


def _slots(cls: type) -> Iterator[str]:
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots
