"""What is fuzzed: functions of bytes that may refuse them by one typed error and otherwise keep their promises.

A target that raises anything else, or whose assertion fails, has found a mistake. Targets draw no randomness.
"""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pamqp import commands, frame, header
from pamqp.body import ContentBody
from pamqp.heartbeat import Heartbeat

from broker.rabbitmq.frames import FIXED_BYTES, improve
from nodes.data.sources import open_source
from nodes.enclave import frames
from nodes.enclave.agreement import chunks
from nodes.enclave.agreement.labels import lp
from nodes.enclave.attestation import envelope, port
from nodes.enclave.attestation.description import describe
from nodes.enclave.attestation.judge import judge
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.port import Evidence
from nodes.enclave.attestation.producers.software import SoftwareQuoter
from nodes.enclave.attestation.verifiers import all_verifiers
from nodes.enclave.errors import Rejected
from nodes.enclave.frames import FrameError
from nodes.joint import alignment
from nodes.joint.alignment import Masking
from nodes.joint.chunks import MASKED_BYTES, REMASKED_BYTES
from nodes.joint.errors import BadPeer
from nodes.programs.build import aggregate_sum, linear_from_csv
from nodes.programs.check import check
from nodes.programs.compile import affine
from schemas import codec
from schemas.errors import BadInput, BadProgram
from schemas.events import Event, KeyOffered, OrderCancelled, batch_attributes
from schemas.ids import address, derive_id
from schemas.jobs import Batch
from tests.fuzz.inside import SMALL, Inside
from tests.fuzz.pumped import conversations, pumped
from tests.support import exported
from tests.unit.nodes.programs import trees

KEY: Final = bytes(range(32))
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: Final = (port.SOFTWARE, port.SNP, port.TDX, port.SGX, port.NITRO)
SEED_BYTES_MAX: Final = 2_500
"""Of exported models to begin with."""
INSIDE: Final = Inside()


@dataclass(frozen=True)
class Target:
    """A function to feed, and where to begin."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    bytes_max: int


def gate(data: bytes) -> None:
    """The gate refuses by BadProgram, or gives a program that is itself again and compiles or refuses; and none that
    ends the engine, which runs in a process of its own."""
    INSIDE.feed(data)
    try:
        checked = check(data, limits=SMALL, engine=False)
    except BadProgram:
        return
    again = check(checked.canonical, limits=SMALL, engine=False)
    assert (again.digest, again.canonical) == (checked.digest, checked.canonical)
    try:
        mapped = affine(checked)
    except BadProgram:
        return
    assert (mapped.width_in, mapped.width_out) == (checked.width_in, checked.width_out)


def evidence(data: bytes) -> None:
    """Envelopes, and behind a first byte below five blobs of every kind, are refused by Rejected, never believed."""
    with contextlib.suppress(Rejected):
        assert envelope.encode(envelope.decode(data)) == data
    if not data or data[0] >= len(KINDS):
        return
    kind, blob = KINDS[data[0]], data[1:]
    claimed = Evidence(kind=kind, blob=blob, aux=bytes(32), pub=b"pub", nonce=bytes(32), job="job")
    for look in (lambda: describe(claimed), lambda: _verify(claimed)):
        try:
            look()
        except Rejected:
            continue


def _verify(claimed: Evidence) -> None:
    policy = Policy(kinds=frozenset(KINDS), accept_software=True)
    judge(claimed, expected_report_data=bytes(64), policy=policy, verifiers=all_verifiers(), now=NOW)
    raise AssertionError("evidence of no known measurement was believed")


def event(data: bytes) -> None:
    """Headers (a line of JSON) and body are refused by MalformedEvent; what is understood is written the same again."""
    line, _, body = data.partition(b"\n")
    try:
        headers = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(headers, dict):
        return
    try:
        received = codec.decode(headers, body)
    except codec.MalformedEvent:
        return
    written, raw = codec.encode(received.event, lambda signed: received.signature)
    assert codec.decode(written, raw).event == received.event
    if received.event.type.startswith("batch.") and received.event.data is None:
        try:
            codec.batch_of(received.event)
        except codec.MalformedEvent:
            return


def chunk(data: bytes) -> None:
    """Nothing that was not encrypted with the key opens, and one changed byte of what was is refused."""
    try:
        chunks.decrypt(KEY, b"context", data)
    except Rejected:
        pass
    else:
        raise AssertionError("bytes that nobody encrypted were opened")
    at, plain = int.from_bytes(data[:2], "big"), data[2:]
    sealed = bytearray(chunks.encrypt(KEY, b"context", plain))
    assert chunks.decrypt(KEY, b"context", sealed) == plain
    sealed[at % len(sealed)] ^= 1 + at % 255
    for spoilt in (sealed, sealed[: at % len(sealed)]):
        try:
            chunks.decrypt(KEY, b"context", spoilt)
        except Rejected:
            continue
        raise AssertionError("a changed ciphertext was opened")


def masks(data: bytes) -> None:
    """Another side's masked ids are refused by BadPeer, or each is masked again to a number of its own."""
    masking = Masking(KEY, KEY)
    try:
        found = alignment.remasked(masking, data)
    except BadPeer:
        return
    given = {data[at : at + MASKED_BYTES] for at in range(0, len(data), MASKED_BYTES)}
    made = {found[at : at + REMASKED_BYTES] for at in range(0, len(found), REMASKED_BYTES)}
    assert (len(found) // REMASKED_BYTES, len(made)) == (len(data) // MASKED_BYTES, len(given))


def enclave_frame(data: bytes) -> None:
    """Frames between host and child are refused by FrameError; fields are taken apart as they were put together."""
    if len(data) >= frames.HEADER.size:
        try:
            _, meta, body = frames.parse_header(data[: frames.HEADER.size])
        except FrameError:
            pass
        else:
            assert 0 <= meta <= frames.META_BYTES_MAX
            assert 0 <= body <= frames.BODY_BYTES_MAX
    try:
        fields = frames.fields_of(data)
    except FrameError:
        return
    assert lp(*fields) == data


def amqp(data: bytes) -> None:
    """A frame of a broker is read, or its connection ended by an error of the client's; a sender's properties, which
    stand behind the fixed part of a header, never end it."""
    improve()
    if len(data) >= FIXED_BYTES:
        header.ContentHeader().unmarshal(data)
    with contextlib.suppress(AMQPError, StopAsyncIteration):
        asyncio.run(_first_of(data))


async def _first_of(data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    receiver = FrameReceiver(reader)
    receiver.started = True
    await receiver.get_frame()


def table(data: bytes) -> None:
    """A user's file is refused by BadInput, or read twice alike: no number infinite, and a text for every row."""
    path = _scratch()
    path.write_bytes(data)
    try:
        source = open_source(path)
        columns = [name for name in source.header.numeric if source.header.columns.count(name) == 1][:3]
        texts = [name for name in source.header.columns if name and source.header.columns.count(name) == 1][:1]
        columns = columns or list(source.header.columns[:1])
        first, second = (list(source.blocks(columns, texts)) for _ in range(2))
    except BadInput:
        return
    assert [each.texts for each in first] == [each.texts for each in second]
    for one, other in zip(first, second, strict=True):
        assert one.values.tobytes() == other.values.tobytes()
        assert one.values.shape[1] == len(columns)
        assert not np.isinf(one.values).any()
        assert [len(each) for each in one.texts] == [len(one.values)] * len(texts)


@cache
def _scratch() -> Path:
    """A file in memory: the fuzzer ends the process where it stands, and leaves nothing."""
    return Path(f"/proc/self/fd/{os.memfd_create('table')}")


# Where to begin -------------------------------------------------------------------------------------------------------


def masked_ids() -> Iterator[bytes]:
    yield alignment.masked(Masking(KEY, KEY), ["a"])
    yield alignment.masked(Masking(KEY, KEY), ["a", "b", "c"])
    yield b"".join(each.to_bytes(MASKED_BYTES, "little") for each in (0, 1, 2**255 - 20, 2**255 - 19, 2**255))


def programs() -> Iterator[bytes]:
    yield linear_from_csv("name,a,b\nx,1,2\ny,3,4\nbias,5,6\n")
    yield aggregate_sum("x")
    random = np.random.default_rng(1)
    yield _raw(trees.regressor(trees.stump()))
    yield _raw(trees.classifier(trees.random_trees(random, trees=2, depth=2, targets=3), [1, 2, 3]))
    yield _raw(trees.ensemble(trees.stump()))
    for path in sorted(exported.FOLDER.glob("*.onnx")):
        if len(model := path.read_bytes()) <= SEED_BYTES_MAX:
            yield model


def _raw(model: Any) -> bytes:
    return bytes(model.SerializeToString())


def envelopes() -> Iterator[bytes]:
    key = Ed25519PrivateKey.from_private_bytes(KEY)
    quoted = SoftwareQuoter(key, bytes(64)).quote(
        report_data=bytes(64), pub=b"pub", nonce=bytes(32), job="job", debug=False
    )
    yield quoted
    yield b"\x00" + envelope.decode(quoted).blob
    folder = os.environ.get("SUBLET_TEST_VECTORS")
    names = ("snp/report-v2-debug.bin", "tdx/quote-v4.bin", "sgx/quote.bin", "nitro/document.bin")
    for number, name in enumerate(names if folder else (), start=1):
        yield bytes([number]) + (Path(folder or "") / name).read_bytes()


def events() -> Iterator[bytes]:
    renter, lessor, job = address("A11", "A12"), address("B11", "B12"), derive_id("job", 1)
    subtask, contract = derive_id("subtask", 1), derive_id("contract", 1)
    batch = Batch(job=job, subtask=subtask, contract=contract, batch=1, attempt=1, first_row=0, rows=10)
    offered = KeyOffered(job=job, subtask=subtask, worker=derive_id("worker", 1), lane="w1", evidence=b"evidence")
    for made in (
        Event("event-1", "order.buy.cancelled", renter, lessor, 1.0, job, OrderCancelled(order=derive_id("order", 1))),
        Event("event-2", "key.offered", lessor, renter, 2.0, job, offered),
        Event(
            "event-3",
            "batch.dispatched",
            renter,
            lessor,
            3.0,
            job,
            None,
            body=b"body",
            attributes=batch_attributes(batch),
        ),
    ):
        headers, body = codec.encode(made, lambda signed: bytes(64))
        yield json.dumps(headers).encode() + b"\n" + body


def ciphertexts() -> Iterator[bytes]:
    yield b""
    yield chunks.encrypt(bytes(32), b"context", bytes(100))
    yield b"\x00\x40" + bytes(20_000)


def fields() -> Iterator[bytes]:
    yield frames.head(frames.Kind.OFFER, (b"nonce", "contract", 7), 0)
    yield lp(b"nonce", "contract", 7)


def amqp_frames() -> Iterator[bytes]:
    properties = commands.Basic.Properties(headers={"a": [1, "b", {"c": None}]}, message_id="m", timestamp=NOW)
    head = header.ContentHeader(body_size=7, properties=properties)
    yield head.marshal()
    for one in (
        head,
        ContentBody(b"content"),
        commands.Basic.Deliver("tag", 1, False, "hub.A11", "A11.A12"),
        Heartbeat(),
    ):
        yield frame.marshal(one, 1)


def tables() -> Iterator[bytes]:
    text = 'id,a,b,note\nx,1,2.5,"q, ""r"""\ny,-3e2,NA,5" pipe\n'
    yield text.encode()
    yield text.replace(",", ";").replace(".", ",").encode("utf-16")
    yield b"\xef\xbb\xbfa\tb\t\r\n1\tTrue\t\r\n\r\n"
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        yield pack(text.encode())
    made = pa.table({"id": ["x", "y"], "a": [1, None], "b": [0.5, 1.5]})
    for write in (pq.write_table, partial(feather.write_feather, compression="uncompressed")):
        sink = io.BytesIO()
        write(made, sink)
        yield sink.getvalue()


TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {
        "gate": Target(gate, programs, 16_384),
        "evidence": Target(evidence, envelopes, 8_192),
        "event": Target(event, events, 4_096),
        "chunk": Target(chunk, ciphertexts, 40_000),
        "table": Target(table, tables, 8_192),
        "masks": Target(masks, masked_ids, 256),
        "frames": Target(enclave_frame, fields, 512),
        "amqp": Target(amqp, amqp_frames, 1_024),
        "pump": Target(pumped, conversations, 4_096),
    }
)
