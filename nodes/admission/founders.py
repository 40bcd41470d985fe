"""What an operator of a founding hub does: certify hubs that join the network later, or whose key was lost."""

from __future__ import annotations

import time
from typing import Final

from nodes.config import NodeConfig
from nodes.hub.known import record_key
from nodes.hub.machine import AGGREGATE
from nodes.hub.records import KnownHub
from nodes.hub_keys import version_of
from nodes.identity import verify
from nodes.membership import certifying
from nodes.views.source import open_store
from schemas.errors import BadConfig
from schemas.hubs import CertifiedHub
from schemas.ids import hub_address
from schemas.membership import HubPaper

DAY_SECONDS: Final = 86400.0


async def certify(
    config: NodeConfig, paper: HubPaper, asked: CertifiedHub | None, *, version: int, days: int
) -> CertifiedHub:
    """The hub's certificate with this founder's signature, on what another founder signed if that is given.

    Args:
        config: the founding hub's.
        paper: whose.
        asked: as another founder signed it; without, it is made here.
        version: of the key; 0: one more than this hub knows, which a leaf cannot say.
        days: so long it is valid.

    Raises:
        NotCertified: paper-signature, other-network or other-hub.
        BadConfig: the network has no founding document, or this hub is no founder; or a leaf, and no version is given.
    """
    founding, identity = config.network.founded, config.identity()
    if founding is None:
        raise BadConfig("the network has no founding document: found it again", field="founding")
    if asked is None:
        if not version and config.network.is_leaf(config.hub):
            said = f"{config.hub} is a leaf and may not have heard of the last key of {paper.name}"
            raise BadConfig(
                f"{said}: give --version, one more than that key's, or let another founder begin", field="version"
            )
        number = version or 1 + await _known(config, paper.name)
        valid_until = time.time() + days * DAY_SECONDS
        asked = certifying.ask(paper, founding, version=number, valid_until=valid_until)
    return certifying.sign(asked, paper, founding, identity.public, identity.sign, verify)


def lacking(certified: CertifiedHub) -> int:
    """How many founders have to sign it still."""
    return certifying.lacking(certified, verify)


async def _known(config: NodeConfig, hub: str) -> int:
    """The version of the hub's key that this hub knows; 0 for the first, or none."""
    filed, key = max(0, version_of(config.network.hub_keys, hub_address(hub))), record_key(hub)
    async with open_store(config, make=True) as store:
        record = (await store.get(AGGREGATE, [key])).get(key)
    certificate = record.certificate if isinstance(record, KnownHub) else None
    return max(filed, 0 if certificate is None else certificate.version)
