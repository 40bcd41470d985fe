"""Hubs' certificates as files: one founder after the other adds its signature, until enough have. Pure.

NAME.hub.json ──► founder: certify ──► NAME.certificate.json ──► the next founder, until enough signed ──► the hub
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from nodes.machine import Sign, Verify
from schemas.certifying import agreed, certificate_bytes, is_certified
from schemas.errors import BadConfig, VerificationFailed
from schemas.hubs import CertifiedHub, FounderSignature, Founding, HubCertificate
from schemas.membership import HubPaper
from schemas.signing import struct_bytes

CERTIFIED_SECONDS: Final = 2 * 365 * 86400.0
"""So long a certificate is valid, unless the founders say otherwise."""


class NotCertified(VerificationFailed):
    """A certificate is not what this paper asks for, or not of this network. `code` says which part is wrong."""


def ask(paper: HubPaper, founding: Founding, *, version: int, valid_until: float) -> CertifiedHub:
    """A certificate that nobody has signed yet."""
    certificate = HubCertificate(paper.name, paper.public_key, version, valid_until)
    return CertifiedHub(founding=founding, certificate=certificate)


def sign(  # noqa: PLR0917 - what is signed, by whom
    asked: CertifiedHub, paper: HubPaper, founding: Founding, public_key: bytes, sign_bytes: Sign, verify: Verify
) -> CertifiedHub:
    """The certificate with one founder's signature more.

    Raises:
        NotCertified: paper-signature, other-network or other-hub.
        BadConfig: the signer is no founder.
    """
    if not verify(paper.public_key, struct_bytes(paper), paper.signature):
        raise NotCertified(f"the paper of hub {paper.name} is not as it signed it", code="paper-signature")
    if asked.founding != founding:
        raise NotCertified(f"the certificate of {paper.name} is for another network than this", code="other-network")
    certificate = asked.certificate
    if (certificate.hub, certificate.public_key) != (paper.name, paper.public_key):
        raise NotCertified(f"the certificate is not of {paper.name} with the key of this paper", code="other-hub")
    if public_key not in founding.founders:
        raise BadConfig("this hub is no founder of its network: ask one that is", field="founding")
    place = founding.founders.index(public_key)
    mine = FounderSignature(place, sign_bytes(certificate_bytes(certificate, founding)))
    others = [each for each in certificate.signatures if each.founder != place]
    both = tuple(sorted((*others, mine), key=lambda each: each.founder))
    return structs.replace(asked, certificate=structs.replace(certificate, signatures=both))


def lacking(certified: CertifiedHub, verify: Verify) -> int:
    """How many founders' signatures it lacks still."""
    certificate, founding = certified.certificate, certified.founding
    return max(0, founding.needed - len(agreed(certificate, founding, verify)))


def require_certified(certified: CertifiedHub, verify: Verify) -> None:
    """Raises NotCertified: hub-certificate."""
    if not is_certified(certified.certificate, certified.founding, verify):
        more = lacking(certified, verify)
        raise NotCertified(f"{certified.certificate.hub} lacks {more} founders' signatures", code="hub-certificate")
