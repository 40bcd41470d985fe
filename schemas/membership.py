"""What travels between an organisation and its hub's operator when a participant joins, changes or leaves. Pure.

A request says who wants to take part and by which key; a welcome what it needs to do so. Both are signed files that
anybody may see: they hold public keys and a hash of 256 random bits, and no secret.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas.fields import PUBLIC_KEY_BYTES, PublicKeyField, SignatureField, Text
from schemas.hubs import HubCertificate
from schemas.ids import AddressField
from schemas.orders import Timestamp

LANES_MAX: Final = 999
DESCRIPTION_CHARS_MAX: Final = 4 * 1024 * 1024
AUTHORITY_CHARS_MAX: Final = 256 * 1024

PasswordHash = Annotated[str, Meta(pattern=r"^([A-Za-z0-9+/]{48})?\Z", max_length=48)]
"""As RabbitMQ keeps it."""
ParticipantRole = Literal["renter", "lessor", "partner"]
Author = Annotated[str, Meta(min_length=1, max_length=64)]
"""Who at the hub did it: for people who read the journal."""


class JoinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A participant's public half, signed by its key. With `former_key` it takes that one's place, and both sign."""

    address: AddressField
    role: ParticipantRole
    lanes: Annotated[int, Meta(ge=0, le=LANES_MAX)] = 0
    public_key: PublicKeyField
    former_key: Annotated[bytes, Meta(max_length=PUBLIC_KEY_BYTES)] = b""
    password_hash: PasswordHash = ""
    """Empty where the password stays."""
    made_at: Timestamp
    signature: SignatureField = b""
    former_signature: SignatureField = b""


class Welcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A hub's answer, signed by it: where the broker is, as whom to speak there, and what the network is."""

    address: AddressField
    role: ParticipantRole
    lanes: Annotated[int, Meta(ge=0, le=LANES_MAX)] = 0
    version: Annotated[int, Meta(ge=1)]
    """Counts the changes of this participant at its hub: a node with an older one is behind."""
    public_key: PublicKeyField
    """The participant's newest."""
    known_until: Timestamp = 0.0
    """With a former key or password: until when the hub takes them too. 0: there is none."""
    hub_key: PublicKeyField
    certificate: HubCertificate | None = None
    """The hub's, where founders certified its key: whoever knows a former one believes this by it."""
    account: Annotated[str, Meta(min_length=1, max_length=128)]
    """The broker's user whose password was asked for last."""
    tls: bool = False
    authority: Annotated[str, Meta(max_length=AUTHORITY_CHARS_MAX)] = ""
    """Certificates (PEM) of who signed the broker's; empty: those that every system knows."""
    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    virtual_host: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Annotated[str, Meta(max_length=DESCRIPTION_CHARS_MAX)]
    """The network's, as it lies in `network.toml`."""
    made_at: Timestamp
    signature: SignatureField = b""


class ParticipantAdmitted(Struct, frozen=True, kw_only=True):
    """A hub's operator admits a participant, or a change of its key or password."""

    request: JoinRequest
    by: Author
    until: Timestamp = 0.0
    """Of a change: until when what was before counts too. 0: not at all."""
    lost: bool = False
    """The former key is lost, and the operator answers for the new one."""


class ParticipantSettled(Struct, frozen=True, kw_only=True):
    """A hub's operator ends the time in which a former key or password counts."""

    address: AddressField
    by: Author


class ParticipantRemoved(Struct, frozen=True, kw_only=True):
    """A hub's operator lets a participant go: its orders are withdrawn, and with `ends` its contracts end."""

    address: AddressField
    by: Author
    reason: Text = ""
    ends: bool = False


class HubPaper(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A hub's public half, signed by its key: who it is, where its broker is, and with whom it wants to be linked."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}\Z")]
    public_key: PublicKeyField
    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    virtual_host: Annotated[str, Meta(min_length=1, max_length=255)]
    tls: bool = False
    authority: Annotated[str, Meta(max_length=AUTHORITY_CHARS_MAX)] = ""
    """As in `Welcome`."""
    links: dict[str, PasswordHash] = {}
    """By neighbour, the password hash of this hub's account on that one's broker."""
    leaf: bool = False
    """It has one link, and knows those hubs alone that it deals with."""
    made_at: Timestamp
    signature: SignatureField = b""
