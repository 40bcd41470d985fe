"""By which keys hubs are known, offline: as files say, and by certificates that founders signed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from schemas.certifying import Verify, is_certified
from schemas.hubs import Founding, HubCertificate
from schemas.ids import hub_address

_NONE: Final[Mapping[str, int]] = MappingProxyType({})


class HubKeys(dict[str, bytes]):
    """Ed25519 public keys (32 bytes) by the hubs' own addresses, as a network's description says them; with its
    founding document, if it has one, and `versions` of those keys that are not the first.
    """

    def __init__(
        self,
        keys: Mapping[str, bytes] = MappingProxyType({}),
        founding: Founding | None = None,
        versions: Mapping[str, int] = _NONE,
    ) -> None:
        super().__init__(keys)
        self.founding = founding
        self.versions = versions


def founding_of(hub_keys: Mapping[str, bytes]) -> Founding | None:
    """Who certifies hubs beside those that are known."""
    return hub_keys.founding if isinstance(hub_keys, HubKeys) else None


def version_of(hub_keys: Mapping[str, bytes], hub: str) -> int:
    """Which of a hub's keys is known; 0 for its first one, -1 for none."""
    if hub not in hub_keys:
        return -1
    return hub_keys.versions.get(hub, 0) if isinstance(hub_keys, HubKeys) else 0


def believed(hub_keys: Mapping[str, bytes], certificate: HubCertificate, at: float, verify: Verify) -> bool:
    """Whether a certificate is the founders' and was valid then (seconds since 1970), and no younger key is known."""
    founding = founding_of(hub_keys)
    if founding is None or at > certificate.valid_until:
        return False
    known = version_of(hub_keys, hub_address(certificate.hub))
    return certificate.version > known and is_certified(certificate, founding, verify)


def certified(
    hub_keys: Mapping[str, bytes], certificates: Iterable[HubCertificate], at: float, verify: Verify
) -> Mapping[str, bytes]:
    """The keys that are known with those of the certificates that are believed."""
    more: dict[str, bytes] = {
        hub_address(each.hub): each.public_key for each in certificates if believed(hub_keys, each, at, verify)
    }
    return {**hub_keys, **more} if more else hub_keys
