"""`sublet network`: a new network's files, and what they say."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from nodes.cli import members
from nodes.cli import options as o
from nodes.cli.loop import finish

LOADED: Final = "RabbitMQ loads it at its start, or by `rabbitmqctl import_definitions -`"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Networks: description, keys, RabbitMQ definitions.", no_args_is_help=True)
    group.command("init")(init)
    group.command("found")(found)
    group.command("apply")(apply)
    group.command("certify")(certify)
    group.command("show")(show)
    members.add_to(group)
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
    management_port: Annotated[
        int, typer.Option("--management-port", min=1, max=65535, help="Of RabbitMQ's API, for `network add`.")
    ] = 15672,
    brokers: Annotated[
        list[str] | None,
        typer.Option(
            "--broker", metavar="HUB=HOST:PORT/VHOST", help="A hub's own RabbitMQ; may be repeated. Others share one."
        ),
    ] = None,
    leaves: Annotated[
        list[str] | None,
        typer.Option("--leaf", metavar="HUB", help="A hub with one link, which keeps no directory; may be repeated."),
    ] = None,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Succeed when a whole network is there.")] = False,
    as_json: o.Json = False,
) -> None:
    """Write a network's description, keys, passwords and RabbitMQ definitions, to try it out: all keys are made here.

    Every node's folder DIR/nodes/ADDRESS holds its own secrets only: move it to where the node runs. Whoever shall
    keep a key to himself makes it himself: `sublet key new`, `sublet key hub`.
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
        management_port=management_port,
        own_sites=dict(o.broker_site(each, virtual_host) for each in brokers or ()),
        leaves=tuple(leaves or ()),
    )
    nodes = create(folder, plan)
    made = sorted(folder.glob("definitions*.json"))
    output.result({"folder": folder, "created": True, "nodes": nodes})
    output.text(
        f"network     {folder / 'network.toml'}",
        *(f"node        {folder / 'nodes' / node / 'node.toml'}" for node in nodes),
        *(f"RabbitMQ    {path}: {LOADED}" for path in made),
        f"keys        all {len(nodes)} were made here, so whoever has {folder} can speak for everybody in this network",
    )


def found(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="This hub's folder, with its key.")],
    papers: Annotated[list[Path], typer.Argument(metavar="PAPER…", help="Every hub's paper, this one's too.")],
    *,
    management_port: Annotated[
        int, typer.Option("--management-port", min=1, max=65535, help="Of this machine's RabbitMQ, for `network add`.")
    ] = 15672,
    needed: Annotated[
        int, typer.Option("--needed", min=0, max=32, help="How many of these hubs have to certify another; 0: most.")
    ] = 0,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Of this hub, which joins later or has another key."),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Found a network with others, whose keys stay with them: this hub's files, by all papers (`sublet key hub`).

    Compare the keys that are printed with those that their operators tell you by another way. With more papers, later,
    it keeps what is there. Who joins a network that was founded needs its founders' certificate (`network certify`).
    """
    from nodes.cli.console import Output, table  # noqa: PLC0415
    from nodes.membership import founding  # noqa: PLC0415
    from nodes.membership.papers import read_paper  # noqa: PLC0415
    from schemas.hubs import CertifiedHub  # noqa: PLC0415
    from schemas.membership import HubPaper  # noqa: PLC0415

    certified = None if certificate is None else read_paper(certificate, CertifiedHub)
    read = [read_paper(path, HubPaper) for path in papers]
    network = founding.found(folder, read, management_port, needed=needed, certified=certified)
    output, hubs = Output(as_json=as_json), table("", "hub", "public key")
    for name, hub in network.hubs.items():
        hubs.add_row(name, hub.public_key)
    output.result({"folder": folder, "hubs": {name: hub.public_key for name, hub in network.hubs.items()}})
    output.text(
        hubs,
        f"RabbitMQ    {folder / founding.DEFINITIONS}: {LOADED}",
        f"node        start it with: sublet hub --config {folder / 'node.toml'}",
    )


def apply(*, config: o.Config, as_json: o.Json = False) -> None:
    """As a hub's operator, bring its broker to what `network found` wrote last, while everything runs: after a link
    more, or when the hub becomes a leaf or is one no more.
    """
    from nodes.admission import applying  # noqa: PLC0415
    from nodes.admission.operator import operator  # noqa: PLC0415
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415

    me = read_config(config, os.environ, role="hub")
    gone, output = applying.apply(me, operator(me)), Output(as_json=as_json)
    output.result({"hub": me.address, "unbound": gone})
    output.text(f"RabbitMQ    has all that {me.address} needs" + (f"; {len(gone)} bindings went" if gone else ""))


def certify(
    paper: Annotated[Path, typer.Argument(metavar="PAPER", help="The hub's paper, of `sublet key hub`.")],
    certificate: Annotated[
        Path | None, typer.Argument(metavar="[CERTIFICATE]", help="As another founder signed it already.")
    ] = None,
    *,
    config: o.Config,
    version: Annotated[
        int, typer.Option("--version", min=0, help="Of the hub's key; 0: one more than is known here.")
    ] = 0,
    days: Annotated[int, typer.Option("--days", min=1, max=36500, help="So long the certificate is valid.")] = 730,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="By default HUB.certificate.json.")] = None,
    as_json: o.Json = False,
) -> None:
    """As one of the founders, certify a hub that joins, or whose key was lost: its name stands for the paper's key.

    Compare the key that is printed with the one that its operator tells you by another way.
    """
    from nodes.admission import founders  # noqa: PLC0415
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.membership.papers import read_paper, write_paper  # noqa: PLC0415
    from schemas.hubs import CertifiedHub  # noqa: PLC0415
    from schemas.membership import HubPaper  # noqa: PLC0415

    asked = None if certificate is None else read_paper(certificate, CertifiedHub)
    read, me = read_paper(paper, HubPaper), read_config(config, os.environ, role="hub")
    signed = finish(founders.certify(me, read, asked, version=version, days=days))
    path = out or Path(f"{read.name}.certificate.json")
    write_paper(path, signed)
    more, output = founders.lacking(signed), Output(as_json=as_json)
    key = signed.certificate.public_key.hex()
    output.result({"certificate": path, "hub": read.name, "public_key": key, "lacking": more})
    output.text(
        f"hub         {read.name}, key {key}, number {signed.certificate.version}",
        f"certificate {path}: send it to {f'another founder, {more} more must sign' if more else 'the hub'}",
    )


def show(*, config: o.Config, as_json: o.Json = False) -> None:
    """What a node knows of the network: hubs, their links; at a hub its own participants, and which link is lost."""
    from nodes.cli.console import Output, table  # noqa: PLC0415
    from nodes.cli.show import when  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.views.network import seen  # noqa: PLC0415

    found, output = finish(seen(read_config(config, os.environ))), Output(as_json=as_json)
    hubs = table("", "hub", "links", "way", "broker", "public key", drops=("public key", "broker"))
    for hub in found.hubs:
        hubs.add_row(hub.name, ", ".join(hub.links), _way(hub.way), hub.broker, hub.public_key)
    participants = table("", "participant", "role", "#lanes", "public key", "former one until", drops=("public key",))
    for each in found.participants:
        until = when(each.former_until) if each.former_until else ""
        participants.add_row(each.address, each.role, str(each.lanes or ""), each.public_key, until)
    output.text(f"node        {found.node}, a {found.role}", hubs, *([participants] if found.participants else []))
    for lost in found.lost_links:
        since = f"{datetime.fromtimestamp(lost.lost_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        output.text(f"link lost   to {lost.neighbour} since {since}: {lost.why}")
    output.result(found)


def _way(way: tuple[str, ...] | None) -> str:
    """The hubs on it, as far as neighbours told of one."""
    return "" if way is None else " ".join(way) or "none now"


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _link(text: str) -> tuple[str, str]:
    from schemas.errors import BadConfig  # noqa: PLC0415

    one, dash, two = text.partition("-")
    if not dash:
        raise BadConfig(f"{text!r} is not a link: write two hubs as A11-B11", field="links")
    return one, two
