"""What hubs on one broker lead to each other (`Broker.lead`), and that they may do no more than that."""

from __future__ import annotations

import aio_pika
import aiormq
import pytest

from broker.errors import AccessRefused, NoSuchQueue, Unroutable
from broker.names import hub_exchange, out_exchange, queue_name, unroutable_queue
from broker.port import Message
from schemas.ids import Address, hub_address
from tests.support.letters import CONTROL_OF_LESSOR, SECONDS_MAX, drain, letter, post
from tests.support.wires import LESSOR, PARTNER, RENTER, RabbitMQWire, Wire

FAR_AWAY = Address("Z11.Z12")
CONTROL_OF_PARTNER = queue_name(PARTNER, "control")


async def test_a_hub_leads_what_goes_to_a_new_one_over_a_neighbour_on_its_broker_and_back(single_wire: Wire) -> None:
    renter = await single_wire.connect(RENTER)
    hubs = {name: await single_wire.connect(hub_address(name)) for name in ("A11", "B11", "C11")}
    for _ in range(2):
        await hubs["A11"].lead("Z11", "B11", near=True, not_via=["C11"])
    await post(renter, letter("evt-1", FAR_AWAY, RENTER))
    assert [each.id for each in await drain(hubs["B11"], unroutable_queue("B11"), 1)] == ["evt-1"]
    await hubs["A11"].lead("Z11", "C11", near=True, not_via=["B11", "gone"])
    await post(renter, letter("evt-2", FAR_AWAY, RENTER), letter("evt-3", FAR_AWAY, RENTER))
    assert [each.id for each in await drain(hubs["C11"], unroutable_queue("C11"), 2)] == ["evt-2", "evt-3"]
    await hubs["A11"].lead("Z11", "", not_via=["C11"])
    await post(renter, letter("evt-4", FAR_AWAY, RENTER))
    assert [each.id for each in await drain(hubs["A11"], unroutable_queue("A11"), 1)] == ["evt-4"]


async def test_ways_that_lead_in_a_circle_while_they_change_are_told_to_the_sender(single_wire: Wire) -> None:
    """B11 sends what goes to C11 over A11."""
    renter, hub = await single_wire.connect(RENTER), await single_wire.connect(hub_address("A11"))
    await hub.lead("C11", "B11", near=True, not_via=["C11"])
    with pytest.raises(Unroutable):
        await renter.publish(letter("evt-1", PARTNER, RENTER), timeout_seconds=SECONDS_MAX)
    await hub.lead("C11", "C11", near=True, not_via=["B11"])
    lessor = await single_wire.connect(LESSOR)
    await post(lessor, letter("evt-2", PARTNER, LESSOR))
    assert [each.id for each in await drain(await single_wire.connect(PARTNER), CONTROL_OF_PARTNER, 1)] == ["evt-2"]


async def test_only_a_hub_leads_and_only_to_neighbours(single_wire: Wire) -> None:
    hub, renter = await single_wire.connect(hub_address("A11")), await single_wire.connect(RENTER)
    for via, near in (("Z11", True), ("Z11", False), ("B11", False)):
        with pytest.raises(NoSuchQueue):
            await hub.lead("Z11", via, near=near)
    with pytest.raises(AccessRefused):
        await renter.lead("Z11", "B11", near=True)


@pytest.mark.rabbitmq
async def test_a_hubs_account_writes_on_no_other_exchange_and_binds_none_to_another(
    rabbitmq_network: RabbitMQWire,
) -> None:
    url = rabbitmq_network.url(hub_address("A11"))
    out = out_exchange("A11", "B11")
    for source, pattern, destination in (
        (hub_exchange("A11"), "B11.#", hub_exchange("B11")),
        (hub_exchange("A11"), "#", out),
        (hub_exchange("A11"), "B11.*.A11.#", out),
        (hub_exchange("B11"), "B11.#", out),
        (out_exchange("B11", "A11"), "#", out),
        (out, "#", hub_exchange("B11")),
        ("unroutable.A11", "#", out),
    ):
        async with await aio_pika.connect(url) as connection:
            below = await (await connection.channel()).get_underlay_channel()
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                await below.exchange_bind(destination, source, pattern)
    mine = letter("evt-1", LESSOR, hub_address("A11"))
    for exchange in (out, hub_exchange("B11"), out_exchange("B11", "A11")):
        async with await aio_pika.connect(url) as connection:
            there = await (await connection.channel()).get_exchange(exchange, ensure=False)
            with pytest.raises(aiormq.exceptions.ChannelAccessRefused):
                await there.publish(aio_pika.Message(b"x"), mine.key, timeout=SECONDS_MAX)
    hub: Message = letter("evt-2", LESSOR, hub_address("A11"))
    await post(await rabbitmq_network.connect(hub_address("A11")), hub)
    assert await drain(await rabbitmq_network.connect(LESSOR), CONTROL_OF_LESSOR, 1) == [hub]
