"""What bridges between brokers must do (`broker.bridge`), beside all that `test_broker*.py` asks of networks."""

from __future__ import annotations

import asyncio

import aio_pika
import aiormq
import pytest
from msgspec import structs

from broker.bridge import NOT_OF_THIS_LINK, NOWHERE, TOO_LARGE
from broker.errors import AccessRefused, NoSuchQueue
from broker.names import dead_queue, heartbeat_key, hub_exchange, link_account, out_queue, queue_name, unroutable_queue
from broker.port import DEAD_CUT, DEAD_KEY, DEAD_QUEUE, DEAD_REASON, Message
from broker.rabbitmq.pump.pump import BYTES_UNDER_WAY_MAX
from broker.topology import topology
from schemas.ids import Address, hub_address
from schemas.limits import BODY_BYTES_MAX
from tests.conformance.test_broker_hostile import HOSTILE, KEY, NEIGHBOUR
from tests.support.letters import CONTROL_OF_LESSOR, SECONDS_MAX, drain, following, letter, post, take
from tests.support.wires import LESSOR, PARTNER, RENTER, BridgedWire, RabbitMQWire

LINK = Address(link_account("A11", "B11"))


async def test_what_no_broker_could_carry_is_set_aside_at_its_own_hub_and_the_rest_passes(bridged: BridgedWire) -> None:
    lessor, hub = await bridged.connect(LESSOR), await bridged.connect(hub_address("A11"))
    async with (
        lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer,
        hub.consume(dead_queue("A11"), prefetch=1) as kept,
    ):
        for name, hostile in HOSTILE.items():
            await bridged.push(RENTER, hostile.message)
            if hostile.cut:
                dead = await following(kept)
                why = {DEAD_REASON: TOO_LARGE, DEAD_QUEUE: out_queue("A11", "B11"), DEAD_KEY: KEY}
                assert {header: dead.message.headers[header] for header in why} == why, name
                assert dead.message.headers[DEAD_CUT] == hostile.cut, name
                await dead.ack()
            else:
                delivery = await following(consumer)
                assert delivery.message.body == hostile.body, name
                await delivery.ack()
            await bridged.push(RENTER, NEIGHBOUR)
            honest = await following(consumer)
            assert honest.message == NEIGHBOUR, name
            await honest.ack()


async def test_what_waits_while_no_bridge_runs_or_its_link_is_cut_arrives(bridged: BridgedWire) -> None:
    renter, lessor = await bridged.connect(RENTER), await bridged.connect(LESSOR)
    names = [f"evt-{number}" for number in range(60)]
    await bridged.end("A11", "B11")
    await post(renter, *(letter(name, LESSOR, RENTER) for name in names[:20]))
    await bridged.start("A11", "B11")
    arrived: set[str] = set()
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=9) as consumer:
        for name in names[20:]:
            await post(renter, letter(name, LESSOR, RENTER))
            if name.endswith("5"):
                await bridged.sites["B11"].cut(LINK)
            if name.endswith("9"):
                await bridged.cut(hub_address("A11"))
        while arrived != set(names):
            delivery = await following(consumer)
            arrived.add(delivery.message.id)
            await delivery.ack()


async def test_of_two_bridges_of_a_link_one_is_at_work_and_the_other_takes_over(bridged: BridgedWire) -> None:
    renter, lessor = await bridged.connect(RENTER), await bridged.connect(LESSOR)
    first = bridged.bridges["A11", "B11"]
    await bridged.start("A11", "B11")
    names = [f"evt-{number}" for number in range(40)]
    await post(renter, *(letter(name, LESSOR, RENTER) for name in names))
    assert [message.id for message in await drain(lessor, CONTROL_OF_LESSOR, 40)] == names, "one keeps the order"
    first.cancel()
    await asyncio.wait([first])
    await post(renter, letter("later", LESSOR, RENTER))
    async with lessor.consume(CONTROL_OF_LESSOR, prefetch=1) as consumer:
        while (delivery := await following(consumer)).message.id != "later":
            assert delivery.message.id in names, "what the first one had not acknowledged comes twice"
            await delivery.ack()
        await delivery.ack()


async def test_a_way_over_a_third_hub_passes_two_bridges(bridged: BridgedWire) -> None:
    lessor, partner = await bridged.connect(LESSOR), await bridged.connect(PARTNER)
    sent = letter("evt-1", PARTNER, LESSOR, kind="result", body=b"sealed")
    await post(lessor, sent)
    assert await drain(partner, queue_name(PARTNER, "result"), 1) == [sent]


async def test_what_a_leaf_has_no_way_for_goes_to_its_neighbour_and_to_nobody_twice(bridged: BridgedWire) -> None:
    """C11 is one: beside A11 its broker knows no hub, and whoever is sent something in vain is told by one hub."""
    partner, leaf, hub = [await bridged.connect(each) for each in (PARTNER, hub_address("C11"), hub_address("A11"))]
    near, far = Address("C11.nobody"), Address("Z11.Z12")
    there = letter("evt-3", LESSOR, PARTNER, body=b"rows" * 50_000)
    await post(partner, letter("evt-1", near, PARTNER), letter("evt-2", far, PARTNER), there)
    assert await drain(await bridged.connect(LESSOR), CONTROL_OF_LESSOR, 1) == [there]
    await post(partner, letter("evt-4", near, PARTNER), letter("evt-5", far, PARTNER))
    assert [each.id for each in await drain(leaf, unroutable_queue("C11"), 2)] == ["evt-1", "evt-4"]
    assert [each.id for each in await drain(hub, unroutable_queue("A11"), 2)] == ["evt-2", "evt-5"]
    await post(hub, letter("evt-6", near, hub_address("A11")), letter("evt-7", PARTNER, hub_address("A11")))
    assert [each.id for each in await drain(partner, queue_name(PARTNER, "control"), 1)] == ["evt-7"]
    assert [each.id for each in await drain(leaf, unroutable_queue("C11"), 1)] == ["evt-6"], "it does not come back"
    await bridged.end("C11", "A11")
    await post(partner, letter("evt-8", near, PARTNER), letter("evt-9", far, PARTNER))
    waiting = await drain(leaf, out_queue("C11", "A11"), 2)
    assert [each.id for each in waiting] == ["evt-8", "evt-9"], "nothing was left there"


async def test_a_links_account_speaks_for_nobody_at_its_end_and_reads_nothing(bridged: BridgedWire) -> None:
    account = await bridged.sites["B11"].connect(LINK, exchange=hub_exchange("B11"))
    for claimed in (letter("evt-1", LESSOR, LESSOR), letter("evt-2", PARTNER, LESSOR), letter("evt-3", RENTER, RENTER)):
        with pytest.raises(AccessRefused):
            await account.publish(claimed, timeout_seconds=SECONDS_MAX)
    await post(account, letter("evt-4", LESSOR, RENTER), letter("evt-5", LESSOR, PARTNER))
    with pytest.raises(AccessRefused):
        async with account.consume(CONTROL_OF_LESSOR, prefetch=1):
            pass
    lessor = await bridged.connect(LESSOR)
    assert [message.id for message in await drain(lessor, CONTROL_OF_LESSOR, 2)] == ["evt-4", "evt-5"]


async def test_what_nobody_receives_over_there_is_set_aside_here(
    bridged_plain: BridgedWire,
) -> None:
    renter, lessor = await bridged_plain.connect(RENTER), await bridged_plain.connect(LESSOR)
    hub, nobody = await bridged_plain.connect(hub_address("A11")), Address("B11.nobody")
    names = [f"evt-{number}" for number in range(40)]
    for name in names:
        await post(renter, letter(name, LESSOR, RENTER), letter(f"lost-{name}", nobody, RENTER))
    assert {message.id for message in await drain(lessor, CONTROL_OF_LESSOR, 40)} == {*names}
    dead = await drain(hub, dead_queue("A11"), 40)
    assert {message.id for message in dead} == {f"lost-{name}" for name in names}
    assert {message.headers[DEAD_REASON] for message in dead} == {NOWHERE}


async def test_a_hub_leads_what_goes_to_another_hub_over_a_neighbour_and_back(bridged: BridgedWire) -> None:
    renter, hub = await bridged.connect(RENTER), await bridged.connect(hub_address("A11"))
    for neighbour in ("B11", "C11"):
        await bridged.end("A11", neighbour)
    new = letter("evt-3", Address("Z11.Z12"), RENTER)
    for _ in range(2):
        await hub.lead("B11", "C11", not_via=["B11"])
    await post(renter, letter("evt-1", LESSOR, RENTER))
    await hub.lead("B11", "B11", not_via=["C11"])
    await hub.lead("Z11", "C11", not_via=["B11"])
    await post(renter, letter("evt-2", LESSOR, RENTER), new)
    assert [each.id for each in await drain(hub, out_queue("A11", "C11"), 2)] == ["evt-1", "evt-3"]
    assert [each.id for each in await drain(hub, out_queue("A11", "B11"), 1)] == ["evt-2"]
    beat = Message(heartbeat_key("A11", "B11"), b"", {}, "beat")
    await hub.lead("B11", "C11", not_via=["B11"])
    await post(hub, beat)
    assert [each.id for each in await drain(hub, out_queue("A11", "B11"), 1)] == ["beat"], "over its own link"
    await bridged.start("A11", "C11")  # where the other one ends
    partner = letter("evt-4", PARTNER, RENTER)
    await post(renter, partner)
    assert await drain(await bridged.connect(PARTNER), queue_name(PARTNER, "control"), 1) == [partner]
    aside = letter("evt-5", RENTER, RENTER)
    await (await bridged.connect(RENTER)).publish(aside, timeout_seconds=SECONDS_MAX)
    async with renter.consume(queue_name(RENTER, "control"), prefetch=1) as own:
        await (await following(own)).reject("mark")
    assert [each.id for each in await drain(hub, dead_queue("A11"), 1)] == ["evt-5"], "the other beat is not set aside"
    with pytest.raises(NoSuchQueue):
        await hub.lead("B11", "Z11")
    for other in (renter, await bridged.sites["B11"].connect(LINK, exchange=hub_exchange("B11"))):
        with pytest.raises(AccessRefused):
            await other.lead("B11", "C11")


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bridged", ["bridged-rabbitmq", "bridged-rabbitmq-tls"], indirect=True)
async def test_what_is_plain_is_pumped_whole_and_in_order(bridged: BridgedWire) -> None:
    renter, lessor = await bridged.connect(RENTER), await bridged.connect(LESSOR)
    sent = [letter(f"evt-{size}", LESSOR, RENTER, body=bytes(size)) for size in (*range(200), 131_064, 400_000, 5)]
    await post(renter, *sent)
    assert await drain(lessor, CONTROL_OF_LESSOR, len(sent)) == sent
    async with asyncio.timeout(SECONDS_MAX):
        await bridged.until_pumped(len(sent))


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bridged", ["bridged-rabbitmq", "bridged-rabbitmq-tls"], indirect=True)
async def test_more_than_may_be_under_way_is_pumped_whole(bridged: BridgedWire) -> None:
    renter, lessor = await bridged.connect(RENTER), await bridged.connect(LESSOR)
    sent = [letter(f"evt-{each}", LESSOR, RENTER, body=bytes((each,)) * BODY_BYTES_MAX) for each in range(6)]
    assert sum(len(each.body) for each in sent) > BYTES_UNDER_WAY_MAX
    await bridged.end("A11", "B11")
    await post(renter, *sent)
    await bridged.start("A11", "B11")
    assert await drain(lessor, CONTROL_OF_LESSOR, len(sent)) == sent
    async with asyncio.timeout(SECONDS_MAX):
        await bridged.until_pumped(len(sent))


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bridged", ["bridged-rabbitmq"], indirect=True)
async def test_a_leaf_becomes_an_ordinary_hub_and_back_while_its_broker_runs(bridged: BridgedWire) -> None:
    here = bridged.sites["C11"]
    assert isinstance(here, RabbitMQWire)
    partner, leaf = await bridged.connect(PARTNER), await bridged.connect(hub_address("C11"))
    await bridged.end("C11", "A11")
    far, names = Address("Z11.Z12"), iter(range(9))
    for is_leaf in (False, True, True):
        hubs = tuple(structs.replace(each, leaf=is_leaf and each.name == "C11") for each in bridged.layout.hubs)
        made = topology(structs.replace(bridged.layout, hubs=hubs), "three")
        rest = {(row.destination, row.pattern) for row in made.bindings if row.source == "unroutable.C11"}
        await asyncio.to_thread(here.become, made, rest)
        sent = letter(f"evt-{next(names)}", far, PARTNER)
        await post(partner, sent)
        queue = out_queue("C11", "A11") if is_leaf else unroutable_queue("C11")
        assert await drain(leaf, queue, 1) == [sent]
    mark = letter("mark", Address("C11.nobody"), PARTNER)
    await post(partner, mark)
    for queue in (unroutable_queue("C11"), out_queue("C11", "A11")):
        assert await drain(leaf, queue, 1) == [mark], "nothing was left there"


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bridged", ["bridged-rabbitmq"], indirect=True)
async def test_a_hubs_account_binds_nothing_but_other_hubs_keys_into_its_own_bridges(bridged: BridgedWire) -> None:
    here = bridged.sites["A11"]
    assert isinstance(here, RabbitMQWire)
    for exchange, queue, pattern in (
        ("hub.A11", "out.A11.B11", "#"),
        ("hub.A11", "out.A11.B11", "B11.*.A11.#"),
        ("hub.A11", "q.A11.dead", "B11.#"),
        ("again.A11", "out.A11.B11", "B11.#"),
        ("unroutable.A11", "out.A11.B11", "B11.#"),
    ):
        async with await aio_pika.connect(here.url(hub_address("A11"))) as connection:
            below = await (await connection.channel()).get_underlay_channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                await below.queue_bind(queue, exchange, pattern)


@pytest.mark.rabbitmq
@pytest.mark.parametrize("bridged", ["bridged-rabbitmq", "bridged-rabbitmq-tls"], indirect=True)
async def test_copies_and_user_ids_stop_at_the_bridge_and_nothing_waits_for_them(bridged: BridgedWire) -> None:
    here = bridged.sites["A11"]
    assert isinstance(here, RabbitMQWire)
    lessor, hub = await bridged.connect(LESSOR), await bridged.connect(hub_address("A11"))
    own = letter("copied", RENTER, RENTER).key
    async with await aio_pika.connect(here.url(RENTER)) as connection:
        exchange = await (await connection.channel()).get_exchange(hub_exchange("A11"), ensure=False)
        for field in ("CC", "BCC"):
            copied = aio_pika.Message(b"copied", headers={field: [KEY]}, message_id=field)
            await exchange.publish(copied, own)
        named = aio_pika.Message(b"named", user_id=RENTER, message_id="named")
        await exchange.publish(named, KEY)
    async with (
        lessor.consume(CONTROL_OF_LESSOR, prefetch=3) as consumer,
        hub.consume(dead_queue("A11"), prefetch=3) as kept,
    ):
        (passed,) = await take(consumer, 1)
        assert (passed.message.body, passed.message.key) == (b"named", KEY)
        await passed.ack()
        for dead in await take(kept, 2):
            assert dead.message.headers[DEAD_REASON] == NOT_OF_THIS_LINK
            assert dead.message.headers[DEAD_KEY] == own
            await dead.ack()
