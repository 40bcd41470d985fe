"""The network description: what is refused, and the ways of messages."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from broker.network import Hub, Link, Network, Participant, Route, check_network, next_hops, route_of
from schemas.errors import BadConfig


def subnet(name: str, *participants: Participant, broker: str = "main", leaf: bool = False) -> Hub:
    return Hub(name=name, participants=participants, broker=broker, leaf=leaf)


def star(*leaves: str, hub: str = "A11", shared: bool = False, links: tuple[Link, ...] = ()) -> Network:
    """Leaves at one hub, each on a broker of its own."""
    ends = (subnet(leaf, broker="main" if shared else leaf, leaf=True) for leaf in leaves)
    return Network(hubs=(subnet(hub), *ends), links=(*(Link(hubs=(hub, leaf)) for leaf in leaves), *links))


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
        (star("L11", "M11", links=(Link(hubs=("L11", "M11")),)), "leaf"),
        (star("L11", shared=True), "leaf"),
        (Network(hubs=(subnet("L11", leaf=True),)), "leaf"),
        (msgspec.structs.replace(star("L11"), keep_unroutable=False), "leaf"),
        (
            Network(
                hubs=(subnet("L11", leaf=True), subnet("M11", broker="m", leaf=True)),
                links=(Link(hubs=("L11", "M11")),),
            ),
            "leaf",
        ),
    ],
)
def test_a_network_that_cannot_work_is_refused_naming_the_field(network: Network, field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        check_network(network)
    assert caught.value.field == field


def test_leaves_may_be_many_and_whoever_links_two_is_told_what_to_do() -> None:
    check_network(star("L11", "M11", "N11"))
    with pytest.raises(BadConfig, match=r"L11 is a leaf and has 2 links \(A11, M11\): give it one"):
        check_network(star("L11", "M11", links=(Link(hubs=("L11", "M11")),)))


def test_a_typo_in_a_network_description_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="rolle"):
        msgspec.convert({"hubs": [{"name": "A11", "participants": [{"name": "A12", "rolle": "renter"}]}]}, Network)
