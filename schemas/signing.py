"""What exactly is signed: canonical bytes of orders, contracts, receipts and events, each under its own label. Pure.

Only the bytes are made here; keys live in `nodes/identity.py`. A struct is signed over its MessagePack encoding with
all signature fields emptied: field order is the declaration's, so the encoding is unique for given values. A field that
is None is not there: so a later release may have more fields, None by default, and signs the same bytes until it uses
one. Who does not know a field refuses what has it (`forbid_unknown_fields`): to leave it out would be to say something
else than was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from schemas.contracts import Contract, Receipt
from schemas.joint import Introduction
from schemas.membership import HubPaper, JoinRequest, Welcome
from schemas.orders import BuyOrder, SellOrder

Signed = SellOrder | BuyOrder | Contract | Receipt | Introduction | JoinRequest | Welcome | HubPaper

_LABELS: Final[Mapping[type[Struct], str]] = {
    SellOrder: "sell-order",
    BuyOrder: "buy-order",
    Contract: "contract",
    Receipt: "receipt",
    Introduction: "introduction",
    JoinRequest: "join-request",
    Welcome: "welcome",
    HubPaper: "hub-paper",
}


def length_prefixed(*parts: bytes) -> bytes:
    """The parts, each behind its length as 4 bytes big-endian: no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def struct_bytes(signed: Signed) -> bytes:
    """The bytes that a signature over this struct covers: every field but the struct's own signatures."""
    emptied = {name: b"" for name in signed.__struct_fields__ if name == "signature" or name.endswith("_signature")}
    label = f"sublet/v1/{_LABELS[type(signed)]}".encode()
    return length_prefixed(label, msgspec.msgpack.encode(_said(structs.replace(signed, **emptied))))


def event_bytes(attributes: Mapping[str, str], body: bytes) -> bytes:
    """The bytes that an event's signature covers: its attributes, sorted, and the SHA-256 of its raw body.

    The body is hashed first because Ed25519 would read it twice with SHA-512. `signature` and `traceparent` are left
    out: the first is what is being made, the second may be rewritten on the way (W3C Trace Context).
    """
    pairs = [
        part.encode()
        for name in sorted(attributes)
        if name not in ("signature", "traceparent")
        for part in (name, attributes[name])
    ]
    return length_prefixed(b"sublet/v1/event", *pairs, hashlib.sha256(body).digest())


def _said(value: Any) -> Any:
    """Structs as maps without the fields that are None, wherever they are."""
    if isinstance(value, Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _said(each) for name, each in fields if each is not None}
    if isinstance(value, tuple):
        return tuple(_said(each) for each in value)
    return value
