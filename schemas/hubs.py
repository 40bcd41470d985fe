"""What hubs tell each other of hubs: certificates by a network's founders, announcements from neighbour to neighbour.

A certificate says whose key a hub's name stands for; it is believed with the signatures of as many founders as the
founding document asks for. An announcement says by which hubs its origin is reached; the origin signs all but the path,
which every hub lengthens by itself. What exactly is signed: `schemas/certifying.py`. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.fields import PublicKeyField, SignatureField
from schemas.orders import Timestamp

FOUNDERS_MAX: Final = 32
PATH_HUBS_MAX: Final = 64
"""A longer way is none."""
HUBS_TOLD_MAX: Final = 256
"""In one event to a neighbour: what is more follows in the next."""
HUBS_SOUGHT_MAX: Final = 512
"""By a leaf: a word of compute names 192 at most, the rest is room for those that ask, are asked for, or rent."""

HubName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z", max_length=32)]
Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Founding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network's founding document: who may certify hubs, and how many of them have to."""

    founders: Annotated[tuple[PublicKeyField, ...], Meta(min_length=1, max_length=FOUNDERS_MAX)]
    needed: Annotated[int, Meta(ge=1, le=FOUNDERS_MAX)] = 1


class FounderSignature(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """By the founder of this place in the founding document, counted from 0."""

    founder: Annotated[int, Meta(ge=0, lt=FOUNDERS_MAX)]
    signature: SignatureField


class HubCertificate(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A hub's name stands for this key. Of two of a name the higher version counts; what a file says has version 0."""

    hub: HubName
    public_key: PublicKeyField
    version: Annotated[int, Meta(ge=1)]
    valid_until: Timestamp
    signatures: Annotated[tuple[FounderSignature, ...], Meta(max_length=FOUNDERS_MAX)] = ()


class CertifiedHub(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate as a file, with the founding document of its network."""

    founding: Founding
    certificate: HubCertificate


class HubAnnouncement(Struct, frozen=True, array_like=True):
    """A hub is reached over `path`: itself first, whoever tells it last."""

    hub: HubName
    sequence: Sequence
    """The origin's count: the higher is the younger."""
    path: Annotated[tuple[HubName, ...], Meta(max_length=PATH_HUBS_MAX)]
    certificate: HubCertificate | None = None
    """None of a hub whose key everybody has from the founding."""
    signature: SignatureField = b""
    """The origin's, over all but the path."""


class HubsAnnounced(Struct, frozen=True, kw_only=True):
    """What changed since a hub told this neighbour of hubs."""

    number: Sequence
    """The sender's count of what it told this neighbour: one more each time."""
    announced: Annotated[tuple[HubAnnouncement, ...], Meta(max_length=HUBS_TOLD_MAX)] = ()
    lost: Annotated[tuple[HubName, ...], Meta(max_length=HUBS_TOLD_MAX)] = ()
    """Hubs to which the sender has no way now: who has one that does not lead over the sender tells it."""
    asks: bool = False
    """The sender is new, or lost what it knew: it is to be told of everything."""
    seeks: Annotated[tuple[HubName, ...], Meta(max_length=HUBS_SOUGHT_MAX)] | None = None
    """The sender is a leaf, and is to be told of these alone, instead of those that it named before; none of which the
    receiver knows is `lost`. None: it is to be told of all."""
