"""The network description: what is refused, and the ways of messages."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.network import Hub, Link, Network, Participant, Route, check_network, next_hops, passing, route_of
from schemas.errors import BadConfig


def subnet(name: str, *participants: Participant, broker: str = "main") -> Hub:
    return Hub(name=name, participants=participants, broker=broker)


def line(*names: str, routes: tuple[Route, ...] = ()) -> Network:
    """Hubs in a row, each linked to the next."""
    hubs = tuple(subnet(name) for name in names)
    return Network(hubs=hubs, links=tuple(Link(hubs=pair) for pair in pairwise(names)), routes=routes)


def test_a_message_passes_the_hubs_between() -> None:
    assert route_of(line("A11", "B11", "C11", "D11"), "A11", "D11") == ("A11", "B11", "C11", "D11")
    assert route_of(line("A11"), "A11", "A11") == ("A11",)


def test_a_route_leads_another_way_than_the_shortest() -> None:
    """N3: from the lessor's hub to the partner's by way of the renter's, although they are linked."""
    links = (Link(hubs=("A11", "B11")), Link(hubs=("A11", "C11")), Link(hubs=("B11", "C11")))
    network = Network(hubs=tuple(subnet(name) for name in ("A11", "B11", "C11")), links=links)
    assert route_of(network, "B11", "C11") == ("B11", "C11")
    led = msgspec.structs.replace(network, routes=(Route(hub="B11", to="C11", via="A11"),))
    assert route_of(led, "B11", "C11") == ("B11", "A11", "C11")
    assert next_hops(led, "B11") == {"A11": "A11", "C11": "A11"}


@given(st.integers(2, 12), st.randoms(use_true_random=False), st.booleans())
def test_what_passes_a_link_is_what_next_hops_lead_over_it(hubs: int, random: Random, led: bool) -> None:
    names = [f"H{number}" for number in range(hubs)]
    pairs = {(random.choice(names[:at]), names[at]) for at in range(1, hubs)} | {
        tuple(random.sample(names, 2)) for _ in range(hubs)
    }
    links = tuple(Link(hubs=(one, other)) for one, other in sorted(pairs))
    network = Network(hubs=tuple(map(subnet, names)), links=links)
    if led:
        hub, via = random.choice(links).hubs
        to = random.choice(names)
        network = msgspec.structs.replace(network, routes=(Route(hub=hub, to=to, via=via),) if hub != to else ())
    try:
        check_network(network)
    except BadConfig as error:
        assert error.field == "routes"  # noqa: PT017 - the rule is that nothing else is wrong
        return
    ways = [route_of(network, one, other) for one in names for other in names if one != other]
    for hub, neighbour in (each for link in links for each in (link.hubs, link.hubs[::-1])):
        over = [way for way in ways if (hub, neighbour) in pairwise(way)]
        sources, destinations = passing(network, hub, neighbour)
        assert destinations == {way[-1] for way in over}
        assert sources == {way[0] for way in over}


@pytest.mark.parametrize(
    ("network", "field"),
    [
        (Network(hubs=(subnet("A11"), subnet("A11"))), "hubs"),
        (Network(hubs=(subnet("A11"), subnet("B11"))), "links"),
        (Network(hubs=(subnet("A11"),), links=(Link(hubs=("A11", "Z11")),)), "links"),
        (line("A11", "B11", "C11", routes=(Route(hub="A11", to="B11", via="C11"),)), "routes"),
        (line("A11", "B11", "C11", routes=(Route(hub="B11", to="C11", via="A11"),)), "routes"),
        (Network(hubs=(subnet("A11", *(Participant(name="x", role="renter"),) * 2),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="hub", role="renter")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="wait250", role="renter")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="broker", role="lessor")),)), "participants"),
        (Network(hubs=(subnet("A11", Participant(name="dead", role="lessor")),)), "participants"),
    ],
)
def test_a_network_that_cannot_work_is_refused_naming_the_field(network: Network, field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        check_network(network)
    assert caught.value.field == field


def test_a_typo_in_a_network_description_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="rolle"):
        msgspec.convert({"hubs": [{"name": "A11", "participants": [{"name": "A12", "rolle": "renter"}]}]}, Network)
