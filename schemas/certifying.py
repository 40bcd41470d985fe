"""What founders sign of a hub's certificate, and a hub of its announcement; when a certificate is believed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.hubs import Founding, HubAnnouncement, HubCertificate
from schemas.signing import length_prefixed

Verify = Callable[[bytes, bytes, bytes], bool]

_CERTIFICATE: Final = b"sublet/v1/hub-certificate"
_ANNOUNCEMENT: Final = b"sublet/v1/hub-announcement"


def certificate_bytes(certificate: HubCertificate, founding: Founding) -> bytes:
    """What founders sign: it counts in this network only."""
    network = hashlib.sha256(length_prefixed(*founding.founders, founding.needed.to_bytes(4, "big"))).digest()
    said = (certificate.hub, certificate.public_key, certificate.version, certificate.valid_until)
    return length_prefixed(_CERTIFICATE, network, msgspec.msgpack.encode(said))


def is_certified(certificate: HubCertificate, founding: Founding, verify: Verify) -> bool:
    """Whether as many founders as are needed signed it; signatures beyond the first of each founder count nothing."""
    return len(agreed(certificate, founding, verify)) >= founding.needed


def agreed(certificate: HubCertificate, founding: Founding, verify: Verify) -> set[int]:
    """Which founders signed it, by their places; looked for no further than as many as are needed."""
    signed, found = certificate_bytes(certificate, founding), set[int]()
    for each in certificate.signatures:
        if len(found) >= founding.needed:
            break
        if each.founder < len(founding.founders) and each.founder not in found:
            found |= {each.founder} if verify(founding.founders[each.founder], signed, each.signature) else set()
    return found


def announcement_bytes(announcement: HubAnnouncement, public_key: bytes) -> bytes:
    """What the origin signs; `public_key` is the one by which it is known."""
    number = announcement.sequence.to_bytes(8, "big")
    return length_prefixed(_ANNOUNCEMENT, announcement.hub.encode(), public_key, number)
