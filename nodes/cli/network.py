"""`sublet network`: a new network's files, and what they say."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o

if TYPE_CHECKING:
    from nodes.network import BrokerSite


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Networks: description, keys, RabbitMQ definitions.", no_args_is_help=True)
    group.command("init")(init)
    group.command("show")(show)
    app.add_typer(group, name="network")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    *,
    hubs: Annotated[str, typer.Option("--hubs", help="Names of the hubs, separated by commas.")] = "A11,B11",
    renters: Annotated[
        list[str] | None,
        typer.Option("--renter", metavar="HUB.NAME", help="A renter; may be repeated. Without any: A11.A12."),
    ] = None,
    lessors: Annotated[
        list[str] | None,
        typer.Option("--lessor", metavar="HUB.NAME", help="A lessor; may be repeated. Without any: B11.B12, B11.B13."),
    ] = None,
    partners: Annotated[
        list[str] | None, typer.Option("--partner", metavar="HUB.NAME", help="A partner; may be repeated.")
    ] = None,
    links: Annotated[
        str, typer.Option("--links", metavar="A11-B11,…", help="Which hubs are linked; by default each to each.")
    ] = "",
    lanes: Annotated[int, typer.Option("--lanes", min=1, max=999, help="Most workers of one lessor at a time.")] = 8,
    host: Annotated[str, typer.Option("--amqp-host", "--broker-host", help="Where RabbitMQ listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--amqp-port", min=1, max=65535)] = 5672,
    virtual_host: Annotated[str, typer.Option("--amqp-vhost", help="RabbitMQ's virtual host.")] = "sublet",
    brokers: Annotated[
        list[str] | None,
        typer.Option(
            "--broker", metavar="HUB=HOST:PORT/VHOST", help="A hub's own RabbitMQ; may be repeated. Others share one."
        ),
    ] = None,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Succeed when a whole network is there.")] = False,
    as_json: o.Json = False,
) -> None:
    """Write a network's description, keys, passwords and RabbitMQ definitions.

    Every node's folder DIR/nodes/ADDRESS holds its own secrets only: move it to where the node runs.
    """
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.network import BrokerSite  # noqa: PLC0415
    from nodes.network_init import Plan, create, is_complete  # noqa: PLC0415
    from schemas.ids import parse_address  # noqa: PLC0415

    output = Output(as_json=as_json)
    if if_missing and is_complete(folder):
        output.result({"folder": folder, "created": False})
        return
    plan = Plan(
        hubs=_split(hubs),
        renters=tuple(parse_address(each) for each in renters or ("A11.A12",)),
        lessors=tuple(parse_address(each) for each in lessors or ("B11.B12", "B11.B13")),
        partners=tuple(parse_address(each) for each in partners or ()),
        links=tuple(_link(each) for each in _split(links)),
        lanes=lanes,
        site=BrokerSite(host=host, port=port, virtual_host=virtual_host),
        own_sites=dict(_site(each, virtual_host) for each in brokers or ()),
    )
    nodes = create(folder, plan)
    made = sorted(folder.glob("definitions*.json"))
    output.result({"folder": folder, "created": True, "nodes": nodes})
    output.text(
        f"network     {folder / 'network.toml'}",
        *(f"node        {folder / 'nodes' / node / 'node.toml'}" for node in nodes),
        *(f"RabbitMQ    {path}, loaded by rabbitmq{path.stem.removeprefix('definitions')}.conf" for path in made),
    )


def show(*, config: o.Config, as_json: o.Json = False) -> None:
    """What a node knows of the network: hubs, their links; at a hub its own participants, and which link is lost."""
    from nodes.cli.console import Output, table  # noqa: PLC0415
    from nodes.cli.loop import finish  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.views.network import seen  # noqa: PLC0415

    found, output = finish(seen(read_config(config, os.environ))), Output(as_json=as_json)
    hubs = table("", "hub", "links", "broker", "public key")
    for hub in found.hubs:
        hubs.add_row(hub.name, ", ".join(hub.links), hub.broker, hub.public_key)
    participants = table("", "participant", "role", "#lanes", "public key")
    for each in found.participants:
        participants.add_row(each.address, each.role, str(each.lanes or ""), each.public_key)
    output.text(f"node        {found.node}, a {found.role}", hubs, *([participants] if found.participants else []))
    for lost in found.lost_links:
        since = f"{datetime.fromtimestamp(lost.lost_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        output.text(f"link lost   to {lost.neighbour} since {since}: {lost.why}")
    output.result(found)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _link(text: str) -> tuple[str, str]:
    from schemas.errors import BadConfig  # noqa: PLC0415

    one, dash, two = text.partition("-")
    if not dash:
        raise BadConfig(f"{text!r} is not a link: write two hubs as A11-B11", field="links")
    return one, two


def _site(text: str, virtual_host: str) -> tuple[str, BrokerSite]:
    from nodes.network import BrokerSite  # noqa: PLC0415
    from schemas.errors import BadConfig  # noqa: PLC0415

    hub, _, where = text.partition("=")
    address, slash, own_host = where.partition("/")
    host, _, port = address.rpartition(":")
    try:
        found = BrokerSite(host=host.strip("[]"), port=int(port), virtual_host=own_host if slash else virtual_host)
    except ValueError:
        found = BrokerSite(host="", port=0)
    if not (hub and found.host and 0 < found.port < 65536 and found.virtual_host):
        raise BadConfig(f"{text!r} is not a hub's broker: write A11=host:5672 or A11=host:5672/vhost", field="brokers")
    return hub, found
