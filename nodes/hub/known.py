"""By which key a hub knows other hubs: as neighbours told with the founders' word, else as its files say. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import Struct

from nodes.hub.directory import HubConfig
from nodes.hub.draft import Draft
from nodes.hub.records import KnownHub
from nodes.hub_keys import believed, version_of
from nodes.machine import Verify
from schemas.events import ContractCountersigned, ContractProposed, Event, QuoteOffered, QuoteRequested
from schemas.hubs import HubCertificate, HubsAnnounced
from schemas.ids import HUB_NAME, Address, hub_address, hub_of
from schemas.joint import IntroductionProposed


def record_key(hub: str) -> str:
    """Where a hub of this name is kept."""
    return f"known/{hub}"


class Lookup(Protocol):
    """Records by key: a hub's, or as an event that is being handled has changed them."""

    def get(self, key: str, /) -> Struct | None:
        """The record at `key`, or None."""


class Keys(Mapping[str, bytes]):
    """Public keys by hub address, at a moment: looked up one by one, for there may be many hubs."""

    def __init__(self, config: HubConfig, records: Lookup, at: float) -> None:
        self._config = config
        self._records = records
        self._at = at

    def __getitem__(self, hub: str) -> bytes:
        certificate = certificate_of(self._records, hub)
        if certificate is None or certificate.version <= version_of(self._config.hub_keys, hub):
            return self._config.hub_keys[hub]
        if self._at > certificate.valid_until:
            raise KeyError(hub)
        return certificate.public_key

    def __iter__(self) -> Iterator[str]:
        return iter(self._config.hub_keys)

    def __len__(self) -> int:
        return len(self._config.hub_keys)


def certificate_of(records: Lookup, hub: str) -> HubCertificate | None:
    """The newest certificate of a hub (its own address) that neighbours told; None of participants."""
    name = hub_of(Address(hub))
    record = records.get(record_key(name)) if hub == f"{name}.{HUB_NAME}" else None
    return record.certificate if isinstance(record, KnownHub) else None


def keys(draft: Draft) -> Keys:
    """Those that count now."""
    return Keys(draft.config, _Changed(draft), draft.now)


def certificates(draft: Draft, *hubs: str) -> tuple[HubCertificate, ...]:
    """Of these hubs, as far as they have one: for papers that others verify offline."""
    found = (certificate_of(_Changed(draft), hub) for hub in dict.fromkeys(hubs))
    return tuple(each for each in found if each is not None)


class _Changed:
    """What is known of hubs as an event has changed it."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def get(self, key: str) -> Struct | None:
        return self._draft.find(KnownHub, key)


def key_of(config: HubConfig, records: Lookup, event: Event, verify: Verify) -> bytes | None:
    """By which key the hub that sent an event is known; or one for which the event itself brings the founders' word."""
    for certificate in brought(event):
        if hub_address(certificate.hub) == event.source:
            known = certificate_of(records, event.source)
            younger = known is None or certificate.version > known.version
            if younger and believed(config.hub_keys, certificate, event.time, verify):
                return certificate.public_key
    return Keys(config, records, event.time).get(event.source)


def brought(event: Event) -> tuple[HubCertificate, ...]:
    """Certificates in an event, of whatever hubs, which nobody has looked at: by which talk between hubs begins."""
    match event.data:
        case HubsAnnounced(announced=told):
            found: tuple[HubCertificate | None, ...] = tuple(each.certificate for each in told)
        case QuoteRequested(certificate=own) | QuoteOffered(certificate=own):
            found = (own,)
        case ContractProposed(contract=paper) | ContractCountersigned(contract=paper):
            found = paper.hub_certificates
        case IntroductionProposed(introduction=paper):
            found = paper.hub_certificates
        case _:
            found = ()
    return tuple(each for each in found if each is not None)
