"""Hubs of a network that grows: founders, certificates, and hubs that know of others only what they are told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from nodes.hub.machine import HubMachine
from nodes.hub.records import HubsConfigured, KnownHub
from nodes.hub_keys import HubKeys
from nodes.runtime.links import LinkChanged
from schemas.certifying import certificate_bytes
from schemas.hubs import FounderSignature, Founding, HubCertificate
from schemas.ids import hub_address
from tests.unit.nodes.hub.world import START, World, public_key, signer, verify

FOUNDERS = ("A11.hub", "B11.hub", "C11.hub")
FOUNDING = Founding(founders=tuple(map(public_key, FOUNDERS)), needed=2)
SMALL = Founding(founders=(public_key("A11.hub"),))
"""One founder's word is enough."""
YEAR_SECONDS = 365 * 86400.0
SIGNERS = FOUNDERS[:2]


def certify(
    hub: str,
    *,
    key: bytes = b"",
    version: int = 1,
    until: float = START + YEAR_SECONDS,
    by: Collection[str] = SIGNERS,
    founding: Founding = FOUNDING,
) -> HubCertificate:
    """A hub's certificate, signed by these founders."""
    bare = HubCertificate(hub, key or public_key(hub_address(hub)), version, until)
    signed = certificate_bytes(bare, founding)
    signatures = tuple(FounderSignature(FOUNDERS.index(each), signer(each)(signed)) for each in by)
    return HubCertificate(hub, bare.public_key, version, until, signatures)


class Growing(World):
    """Founded by A11, B11 and C11; all further hubs are known to themselves alone, with a certificate."""

    def __init__(self, links: str, founding: Founding | None = FOUNDING, *, leaves: Collection[str] = ()) -> None:
        self.leaves = {*leaves}
        pairs = [tuple(each.split("-")) for each in links.split()]
        names = sorted({name for pair in pairs for name in pair})
        self.links = {
            name: {hub_address(o) for pair in pairs for o in pair if name in pair and o != name} for name in names
        }
        self.founding = founding
        participants = {name: [f"{name[0]}12", f"{name[0]}13"] for name in names}
        super().__init__(participants, [(one, two) for one, two in pairs])
        for name in names:
            self.configure(name)

    def configure(self, hub: str, certificate: HubCertificate | None = None, *linked: str) -> None:
        """A hub's files, as they are now."""
        me = hub_address(hub)
        founders = [name for name in FOUNDERS if name in self.machines]
        self.links[hub] |= set(map(hub_address, linked))
        keys = HubKeys({each: self.hub_keys[each] for each in {*founders, me}}, self.founding)
        if certificate is None and me not in founders:
            certificate = certify(hub)
        config = replace(
            self.machines[me].config,
            hub_keys=keys,
            linked=tuple(sorted(self.links[hub])),
            certificate=certificate,
            leaf=hub in self.leaves,
        )
        self.machines[me] = HubMachine(config, verify)

    def start(self, *hubs: str) -> None:
        """Processes of these hubs start, by default of all."""
        for hub in hubs or sorted(self.links):
            me = hub_address(hub)
            self.send("hubs.configured", me, HubsConfigured(), to=me)

    def cut(self, one: str, two: str) -> None:
        """Both ends name the link."""
        self._link(one, two, "nothing has come")

    def mend(self, one: str, two: str) -> None:
        """And both say that it carries."""
        self._link(one, two, "")

    def _link(self, one: str, two: str, why: str) -> None:
        self.link(one, two, why)
        self.link(two, one, why)

    def link(self, hub: str, other: str, why: str) -> None:
        """One end finds that a link does not carry, or does."""
        me = hub_address(hub)
        self.send("link.changed", me, LinkChanged(neighbour=hub_address(other), why=why), to=me)

    def way(self, hub: str, to: str) -> str:
        """How messages go, as the names of the hubs; `none` where there is no way, empty where nobody told of it."""
        record = self.records[hub_address(hub)].get(f"known/{to}")
        if not isinstance(record, KnownHub):
            return ""
        return " ".join(record.path[::-1]) or "none"

    def ways(self, to: str) -> dict[str, str]:
        """The same, of all others."""
        return {hub: self.way(hub, to) for hub in sorted(self.links) if hub != to}

    def paths(self) -> list[tuple[str, ...]]:
        """All that hubs hold."""
        return [known.path for hub in self.links for known in self.all(hub, KnownHub)]

    def noted(self, kind: str) -> list[str]:
        return [note.text for _, note in self.notes if note.kind == kind]

    def passed_over(self) -> list[str]:
        """Codes of what was, of all hubs."""
        return [str(note.details["code"]) for _, note in self.notes if note.kind == "passed-over"]

    def codes(self) -> list[str]:
        return [refusal.code for refusal in self.refusals]
