"""The journal of an aggregate: what came in, what the machine was given, what followed; and its replay. Pure.

An entry is one line of JSON with sorted keys, so equal entries are equal bytes:

    n, prev         its number, and SHA-256 of the entry before it (64 zeros before the first): entries form a chain
    event           the event as it was handled
    now, entropy    what `Context` gave the machine
    signatures      what `Context.sign` returned, in order; a replay hands these out again after verifying them
    effects         what followed, or
    refused         the code and reason of a refusal, which changed nothing
    withheld        that of what was refused and came from outside neither data nor body is kept: else whoever sends it
                    could fill the journal

A replay starts with no records, handles every recorded event again and demands identical effects: so the journal
explains the state, and a machine that is no longer deterministic or an entry that was changed is found. An export adds
a header, and a trailer with the node's signature, so that a shortened or rewritten journal is found too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import msgspec
import orjson
from msgspec import Struct, structs

from nodes.machine import TIMER_FIRED, Context, Effect, Machine, Refused, Sign, Step, TimerFired, Verify
from nodes.records import RecordSet
from nodes.store.port import GENESIS
from schemas.errors import VerificationFailed
from schemas.events import CATALOGUE, Event
from schemas.fields import PublicKeyField
from schemas.ids import Address, AddressField
from schemas.signing import length_prefixed

_T = TypeVar("_T")

FORMAT: Final = 1
_LABEL: Final = b"sublet/v1/journal-export"


class JournalMismatch(VerificationFailed):
    """A journal does not replay. The message names the entry; `code` is one of:

    bad-entry (not an entry of this format, or of an event this machine does not know), broken-chain, different-effects,
    different-refusal, bad-signature (a recorded or the export's signature is not the node's), incomplete (header or
    trailer is missing, or does not fit the entries), wrong-machine.
    """


class RecordedEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event as JSON. `body` is the raw body, when there is no data."""

    id: str
    type: str
    source: AddressField
    to: AddressField
    time: float
    subject: str
    cause: str
    attributes: dict[str, str]
    data: Any = None
    body: bytes = b""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a journal; see the module's text."""

    n: int
    prev: str
    event: RecordedEvent
    now: float
    entropy: str
    signatures: tuple[str, ...]
    effects: tuple[Any, ...]
    refused: tuple[str, str] | None
    withheld: bool = False
    """Whether the event's data and body are not kept; it is not handled again."""


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First line of an export. `config` is what the caller needs to build the machine again; it holds no secret."""

    format: int = FORMAT
    me: AddressField
    public_key: PublicKeyField
    machine: str
    aggregate: str
    config: Any = None


class Trailer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Last line of an export: the node's signature over header, number of entries and hash of the last one."""

    entries: int
    head: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Export:
    """A read export; its chain and effects are proved by `replay` only."""

    header: Header
    entries: tuple[bytes, ...]


@dataclass(slots=True)
class Recorder:
    """Stands in for `Context.sign` and remembers what it returned."""

    inner: Sign
    signatures: list[bytes] = field(default_factory=list)

    def sign(self, data: bytes) -> bytes:
        """Sign and remember."""
        signature = self.inner(data)
        self.signatures.append(signature)
        return signature


def entry_bytes(
    *,
    n: int,
    prev: str,
    event: Event,
    context: Context,
    signatures: Sequence[bytes],
    effects: Sequence[Effect] = (),
    refused: tuple[str, str] | None = None,
    withheld: bool = False,
) -> bytes:
    """The entry for one handled event.

    Raises:
        TypeError: an effect holds what JSON cannot say.
    """
    entry = Entry(
        n=n,
        prev=prev,
        event=_recorded(replace(event, data=None, body=b"", attributes={}) if withheld else event),
        now=context.now,
        entropy=context.entropy.hex(),
        signatures=() if withheld else tuple(signature.hex() for signature in signatures),
        effects=tuple(effects),
        refused=refused,
        withheld=withheld,
    )
    return _dump(entry)


def read_entry(line: bytes) -> Entry:
    """An entry from its line.

    Raises:
        JournalMismatch: bad-entry.
    """
    return _load(Entry, line, "entry")


def data_class_of(event_type: str, machine: Machine) -> type[Struct] | None:
    """The data class of an event that this machine may be given; None for raw bodies.

    Raises:
        KeyError: neither the catalogue nor the machine knows the type.
    """
    if event_type == TIMER_FIRED:
        return TimerFired
    if event_type in machine.internal_types:
        return machine.internal_types[event_type]
    return CATALOGUE[event_type].data


def replay(entries: Iterable[bytes], machine: Machine, me: Address, public_key: bytes, verify: Verify) -> None:
    """Handle all recorded events again, from no records on.

    Args:
        entries: an aggregate's journal, from its first entry on.
        machine: built as it was then.
        me: the node's address.
        public_key: the node's Ed25519 key, 32 bytes, under which recorded signatures must verify.
        verify: Ed25519 verification (RFC 8032).

    Raises:
        JournalMismatch: with its code, naming the entry.
    """
    records = RecordSet()
    prev = GENESIS
    for number, line in enumerate(entries):
        entry = read_entry(line)
        if entry.n != number or entry.prev != prev:
            raise JournalMismatch(f"entry {number} does not follow the one before it", code="broken-chain")
        prev = hashlib.sha256(line).hexdigest()
        if entry.withheld:
            _require_refused(entry)
            continue
        signer = _Playback(entry, public_key, verify)
        step = _again(entry, machine, records, me, signer)
        _compare(entry, step, signer)
        for key in step.delete:
            records.drop(key)
        for key, record in step.put.items():
            records.put(key, _kept(machine, key, record))


def export_lines(header: Header, entries: Sequence[bytes], sign: Sign) -> list[bytes]:
    """An export, line by line without line ends: header, entries, signed trailer."""
    first = _dump(header)
    head = hashlib.sha256(entries[-1]).hexdigest() if entries else GENESIS
    trailer = Trailer(entries=len(entries), head=head, signature=sign(_export_bytes(first, len(entries), head)))
    return [first, *entries, _dump(trailer)]


def read_export(lines: Sequence[bytes], verify: Verify) -> Export:
    """The parts of an export whose trailer fits. Compare `header.public_key` with the key you know of that node.

    Raises:
        JournalMismatch: bad-entry, incomplete or bad-signature.
    """
    if len(lines) < 2:
        raise JournalMismatch("an export has a header and a trailer", code="incomplete")
    header, trailer = _load(Header, lines[0], "header"), _load(Trailer, lines[-1], "trailer")
    if header.format != FORMAT:
        raise JournalMismatch(f"journal format {header.format}, this release reads {FORMAT}", code="bad-entry")
    entries = tuple(lines[1:-1])
    head = hashlib.sha256(entries[-1]).hexdigest() if entries else GENESIS
    if trailer.entries != len(entries) or trailer.head != head:
        raise JournalMismatch("the trailer is of another journal: entries were lost or changed", code="incomplete")
    if not verify(header.public_key, _export_bytes(lines[0], trailer.entries, head), trailer.signature):
        raise JournalMismatch("the export is not signed by its node", code="bad-signature")
    return Export(header, entries)


def replay_export(export: Export, machine: Machine, verify: Verify) -> None:
    """Replay a read export on a machine built from its header.

    Raises:
        JournalMismatch: as `replay`; wrong-machine when the header names another role.
    """
    header = export.header
    if machine.name != header.machine:
        raise JournalMismatch(f"a journal of a {header.machine}, not of a {machine.name}", code="wrong-machine")
    replay(export.entries, machine, Address(header.me), header.public_key, verify)


@dataclass(slots=True)
class _Playback:
    """Hands out the recorded signatures in order, each only for bytes under which it verifies."""

    entry: Entry
    public_key: bytes
    verify: Verify
    used: int = 0

    def sign(self, data: bytes) -> bytes:
        if self.used >= len(self.entry.signatures):
            raise JournalMismatch(f"entry {self.entry.n} signs more than was recorded", code="bad-signature")
        try:
            signature = bytes.fromhex(self.entry.signatures[self.used])
        except ValueError as error:
            raise JournalMismatch(f"entry {self.entry.n}: signature is not hexadecimal", code="bad-entry") from error
        self.used += 1
        if not self.verify(self.public_key, data, signature):
            raise JournalMismatch(f"entry {self.entry.n}: a recorded signature is not the node's", code="bad-signature")
        return signature


def _again(entry: Entry, machine: Machine, records: Mapping[str, Struct], me: Address, signer: _Playback) -> Step:
    """The step that the recorded event leads to now; a refusal as recorded is an empty step."""
    try:
        event, entropy = _event(entry.event, machine), bytes.fromhex(entry.entropy)
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise JournalMismatch(f"entry {entry.n}: unusable event: {error}", code="bad-entry") from error
    context = Context(me=me, now=entry.now, entropy=entropy, event_id=event.id, sign=signer.sign, verify=signer.verify)
    try:
        step = machine.handle(records, event, context)
    except Refused as refusal:
        if entry.refused != (refusal.code, refusal.reason):
            message = f"entry {entry.n}: {event.type} is refused now: {refusal.code}: {refusal.reason}"
            raise JournalMismatch(message, code="different-refusal") from refusal
        return Step()
    if entry.refused is not None:
        message = f"entry {entry.n}: {event.type} was refused ({entry.refused[0]}), now it is not"
        raise JournalMismatch(message, code="different-refusal")
    return step


def _require_refused(entry: Entry) -> None:
    """What is withheld changed nothing."""
    if entry.refused is None or entry.effects:
        raise JournalMismatch(f"entry {entry.n}: only what was refused may be withheld", code="bad-entry")


def _compare(entry: Entry, step: Step, signer: _Playback) -> None:
    if _dump(step.effects) != _dump(entry.effects):
        message = f"entry {entry.n}: {entry.event.type} leads to other effects than recorded"
        raise JournalMismatch(message, code="different-effects")
    if signer.used != len(entry.signatures):
        raise JournalMismatch(f"entry {entry.n} signs less than was recorded", code="bad-signature")


def _kept(machine: Machine, key: str, record: Struct) -> Struct:
    """The record as a store would give it back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=machine.record_types[key.partition("/")[0]])


def _recorded(event: Event) -> RecordedEvent:
    return RecordedEvent(
        id=event.id,
        type=event.type,
        source=event.source,
        to=event.to,
        time=event.time,
        subject=event.subject,
        cause=event.cause,
        attributes=dict(event.attributes),
        data=event.data,
        body=bytes(event.body),
    )


def _event(recorded: RecordedEvent, machine: Machine) -> Event:
    data_class = data_class_of(recorded.type, machine)
    data = None if data_class is None else msgspec.convert(recorded.data, data_class)
    return Event(**structs.asdict(recorded) | {"data": data})


def _dump(value: Any) -> bytes:
    return orjson.dumps(msgspec.to_builtins(value), option=orjson.OPT_SORT_KEYS)


def _load(kind: type[_T], line: bytes, what: str) -> _T:
    try:
        return msgspec.convert(orjson.loads(line), kind)
    except (orjson.JSONDecodeError, msgspec.ValidationError) as error:
        raise JournalMismatch(f"not a journal {what}: {error}", code="bad-entry") from error


def _export_bytes(header: bytes, entries: int, head: str) -> bytes:
    return length_prefixed(_LABEL, hashlib.sha256(header).digest(), str(entries).encode(), head.encode())
