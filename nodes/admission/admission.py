"""What a hub's operator does with participants of a running network: admit, change, settle, remove. No restarts.

    request ─► checked ─► broker: queues, bindings, account ─► hub: its registry ─► welcome, which goes back

The hub learns it as an event of its own, so its journal says who did what. What the broker lacks is added through its
management API by the account in the operator's file `management-url`, or written to a file that somebody imports there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct, structs

from broker.definitions import additions
from broker.names import participant_account
from broker.network import Participant
from broker.topology import membership
from nodes.admission.operator import Operator
from nodes.admission.registered import LOOK_SECONDS, member_of, registered, running_contracts, until
from nodes.bootstrap.connecting import connect
from nodes.bootstrap.hub import hub_config
from nodes.config import NodeConfig
from nodes.hub.records import Member
from nodes.hub.registry import changed, check_request, founder, is_repeated, settled_member
from nodes.identity import verify
from nodes.machine import Refused
from nodes.membership.welcoming import make_welcome
from nodes.runtime.post import Post
from nodes.store.port import Store
from nodes.views.source import open_store
from schemas.errors import BadConfig, PolicyRefused
from schemas.ids import Address, derive_id, hub_of, name_of
from schemas.membership import JoinRequest, ParticipantAdmitted, ParticipantRemoved, ParticipantSettled, Welcome

CONNECT_SECONDS_MAX: Final = 5.0
RECEIPT_SECONDS: Final = 3.0
"""For the receipts of contracts that a removal ends, before the participant's account goes."""


class NotAdmitted(PolicyRefused):
    """A request cannot be admitted as it is. `code` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.code = refused.code


@dataclass(frozen=True, slots=True)
class Admission:
    """One hub's, by its operator, whose name is `by`."""

    config: NodeConfig
    operator: Operator
    by: str
    authority: str = ""
    """Certificates (PEM) of who signed the broker's, for those who join."""
    clock: Callable[[], float] = field(default=time.time)

    def __post_init__(self) -> None:
        if self.config.role != "hub":
            raise BadConfig(
                f"{self.config.address} is a {self.config.role}: only a hub's operator does that", field="role"
            )

    async def admit(self, request: JoinRequest, *, overlap_seconds: float = 0.0, lost: bool = False) -> Welcome:
        """Admit who asks to join; or a change of key or password, while the former counts for so long. Asked again, it
        does what was left, and welcomes anew.

        Raises:
            NotAdmitted: the request is not right, or not now.
            SubletError: broker or store cannot be reached, or refuse.
        """
        ends_at = self.clock() + overlap_seconds if overlap_seconds else 0.0
        data = ParticipantAdmitted(request=request, by=self.by, until=ends_at, lost=lost)
        async with open_store(self.config, make=True) as store:
            before = await member_of(store, request.address) or founder(hub_config(self.config), request)
            recorded = before if is_repeated(before, request) else await self._register(store, before, data)
        assert recorded is not None
        if recorded.version > 1 and request.password_hash and not recorded.retiring:
            await self._remove_former(Address(request.address), recorded)
        return self._welcome(Address(request.address), recorded)

    async def greet(self, address: str) -> Welcome:
        """A welcome for one that is attached already: with the network as it is now.

        Raises:
            NotAdmitted: not-attached.
        """
        founders = self.config.subnet.participants if self.config.subnet is not None else {}
        entry = founders.get(name_of(Address(address)))
        async with open_store(self.config) as store:
            member = await member_of(store, address)
        if member is None and entry is not None and hub_of(Address(address)) == self.config.hub:
            member = Member(role=entry.role, lanes=entry.lanes, key=bytes.fromhex(entry.public_key), version=1)
        if member is None or member.left:
            raise NotAdmitted(Refused("not-attached", f"{address} is not attached to {self.config.address}"))
        return self._welcome(Address(address), member)

    def _welcome(self, address: Address, member: Member) -> Welcome:
        identity, authority = self.config.identity(), self.authority
        network, now = self.config.network, self.clock()
        return make_welcome(
            address,
            member,
            network,
            authority=authority,
            now=now,
            sign=identity.sign,
            certificate=self.config.certificate,
        )

    async def _register(self, store: Store, before: Member | None, data: ParticipantAdmitted) -> Member:
        request = data.request
        with _refusals():
            check_request(request, self.config.hub, verify)
            after = changed(before, data)
        if request.password_hash:
            await asyncio.to_thread(self.operator.apply, self._additions(request, after))
        await self._tell("participant.admitted", request.address, data, request.signature.hex())
        return await registered(store, request.address, after.version)

    async def _remove_former(self, address: Address, member: Member) -> None:
        await asyncio.to_thread(self.operator.remove_user, participant_account(address, 1 - member.account))

    async def settle(self, address: str) -> None:
        """Only the newest key and password of a participant count from now on.

        Raises:
            BadConfig: nothing of it is to be settled.
            SubletError: broker or store cannot be reached, or refuse.
        """
        async with open_store(self.config, make=True) as store:
            member = await member_of(store, address)
            if member is None or member.left:
                raise BadConfig(f"{address} has no former key or password that counts", field="address")
            if settled_member(member) != member:
                data = ParticipantSettled(address=address, by=self.by)
                await self._tell("participant.settled", address, data, str(member.version))
                await until(store, address, lambda now: settled_member(now) == now)
        await self._remove_former(Address(address), member)

    async def remove(self, address: str, reason: str, *, wait_seconds: float) -> int:
        """Let a participant go: nothing new is agreed with it; what runs may end by itself for so long, then is ended.
        How many contracts were ended so.

        Raises:
            NotAdmitted: not-attached.
            SubletError: broker or store cannot be reached, or refuse.
        """
        data = ParticipantRemoved(address=address, by=self.by, reason=reason)
        async with open_store(self.config, make=True) as store:
            member = await member_of(store, address)
            if member is None and address not in hub_config(self.config).participants:
                raise NotAdmitted(Refused("not-attached", f"{address} is not attached to {self.config.address}"))
            await self._tell("participant.removed", address, data, f"{self.clock()}")
            await until(store, address, lambda now: now.left)
            left = await running_contracts(store, address)
            deadline = self.clock() + wait_seconds
            while left and self.clock() < deadline:
                await asyncio.sleep(LOOK_SECONDS)
                left = await running_contracts(store, address)
            if left:
                ends = structs.replace(data, ends=True)
                await self._tell("participant.removed", address, ends, f"{self.clock()}/ends")
                await asyncio.sleep(RECEIPT_SECONDS)
        await asyncio.to_thread(self._take_away, Address(address), self._participant(Address(address), member))
        return left

    def _take_away(self, address: Address, participant: Participant) -> None:
        for number in (0, 1):
            self.operator.remove_user(participant_account(address, number))
        made = membership(self.config.hub, participant)
        self.operator.remove(self._virtual_host, [queue.name for queue in made.queues])

    def _participant(self, address: Address, member: Member | None) -> Participant:
        founders = self.config.subnet.participants if self.config.subnet is not None else {}
        entry, name = founders.get(name_of(address)), name_of(address)
        if entry is not None:
            return Participant(name=name, role=entry.role, lanes=entry.lanes)
        assert member is not None
        return Participant(name=name, role=member.role, lanes=member.lanes)

    def _additions(self, request: JoinRequest, member: Member) -> dict[str, Any]:
        address = Address(request.address)
        made = membership(self.config.hub, Participant(name=name_of(address), role=member.role, lanes=member.lanes))
        account = participant_account(address, member.account)
        return additions(made, account, request.password_hash, vhost=self._virtual_host)

    @property
    def _virtual_host(self) -> str:
        network = self.config.network
        return network.brokers[network.hubs[self.config.hub].broker].virtual_host

    async def _tell(self, event_type: str, address: str, data: Struct, what: str) -> None:
        broker = await connect(self.config, timeout_seconds=CONNECT_SECONDS_MAX)
        try:
            post = Post(self.config.identity(), broker, self.clock)
            event_id = derive_id("event", event_type, address, what)
            await post.send(event_type, self.config.address, address, data, event_id=event_id)
        finally:
            await broker.close()


@contextmanager
def _refusals() -> Iterator[None]:
    """What the hub would refuse is refused here."""
    try:
        yield
    except Refused as refused:
        raise NotAdmitted(refused) from None
