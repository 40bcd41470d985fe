"""Addresses and identifiers. An address is `<hub>.<name>`; a hub's own address is `<hub>.hub`. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, NewType

from msgspec import Meta

from schemas.errors import BadConfig

Address = NewType("Address", str)

HUB_NAME = "hub"
NAME_CHARS_MAX = 32
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")

# `\Z` and not `$`: a pattern's `$` also accepts a trailing newline.
AddressField = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\.[A-Za-z0-9_-]{1,32}\Z", max_length=65)]
IdField = Annotated[str, Meta(pattern=r"^[a-z]{2,12}-[0-9a-f]{24}\Z", max_length=40)]
DigestField = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", max_length=64)]


def address(hub: str, name: str) -> Address:
    """The address of `name` in the subnet of `hub`.

    Raises:
        BadConfig: a part is empty, longer than 32 characters or has others than letters, digits, `_` and `-`.
    """
    for part in (hub, name):
        if not _NAME.fullmatch(part):
            raise BadConfig(f"{part!r} is not a name: use 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 _ -", field="name")
    return Address(f"{hub}.{name}")


def parse_address(text: str) -> Address:
    """The address that `text` spells, as `<hub>.<name>`.

    Raises:
        BadConfig: it is not one.
    """
    hub, dot, name = text.partition(".")
    if not dot:
        raise BadConfig(f"{text!r} is not an address: write <hub>.<name>, for example A11.A12", field="address")
    return address(hub, name)


def hub_of(of: Address) -> str:
    """The name of the hub to which this address is attached."""
    return of.partition(".")[0]


def name_of(of: Address) -> str:
    """The part of an address after its hub."""
    return of.partition(".")[2]


def hub_address(hub: str) -> Address:
    """The hub's own address, `<hub>.hub`."""
    return address(hub, HUB_NAME)


def derive_id(kind: str, *parts: str | int) -> str:
    """A deterministic identifier `<kind>-<24 hex digits>` (96 bits of SHA-256 over length-prefixed parts).

    The same cause gives the same id, so an event that is emitted twice is recognised as one.
    """
    digest = hashlib.sha256(f"sublet/v1/id/{kind}".encode())
    for part in parts:
        raw = str(part).encode()
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return f"{kind}-{digest.hexdigest()[:24]}"
