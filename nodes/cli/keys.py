"""`sublet key`: what an organisation keeps to itself, made where it stays; and the request that goes to its hub."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from nodes.cli import options as o
from schemas.membership import ParticipantRole

Lanes = Annotated[int | None, typer.Option("--lanes", min=1, max=999, help="Most workers of a lessor at a time.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Keys and passwords of one's own node; requests to its hub.", no_args_is_help=True)
    group.command("new")(new)
    group.command("renew")(renew)
    group.command("hub")(hub)
    app.add_typer(group, name="key")


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new node's folder.")],
    *,
    address: Annotated[str, typer.Option("--address", metavar="HUB.NAME", help="What the node shall be called.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="renter, lessor or partner.")],
    lanes: Lanes = None,
    as_json: o.Json = False,
) -> None:
    """Make a new node's key and password, and the request that asks its hub to admit it.

    Only the request leaves this machine: send it to the hub's operator, who answers with a welcome.
    """
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.membership.organisation import new as make  # noqa: PLC0415
    from nodes.membership.papers import read_paper  # noqa: PLC0415
    from schemas.membership import JoinRequest  # noqa: PLC0415

    path = make(folder, address, _role(role), lanes, time.time())
    key = read_paper(path, JoinRequest).public_key.hex()
    output = Output(as_json=as_json)
    output.result({"request": path, "public_key": key})
    output.text(
        f"key         {key}",
        f"request     {path}: send this to the operator of hub {address.partition('.')[0]}, nothing else",
    )


def hub(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new hub's folder.")],
    *,
    name: Annotated[str, typer.Option("--name", metavar="HUB", help="What the hub shall be called.")],
    broker: Annotated[
        str, typer.Option("--broker", metavar="HOST:PORT/VHOST", help="Where its RabbitMQ is for the others.")
    ],
    tls: Annotated[bool, typer.Option("--tls", help="It speaks TLS there.")] = False,
    authority: Annotated[
        Path | None,
        typer.Option("--tls-authority", metavar="FILE", help="Who signed its certificate, if your own."),
    ] = None,
    links: Annotated[
        list[str] | None, typer.Option("--link", metavar="HUB", help="A hub to be linked to; may be repeated.")
    ] = None,
    leaf: Annotated[
        bool, typer.Option("--leaf", help="It has this one link, and keeps no directory of all hubs.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Make a new hub's key, and the paper that goes to the operators of all hubs of a network to be founded.

    With everybody's papers each operator does `sublet network found`.
    """
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.membership.founding import new_hub  # noqa: PLC0415
    from nodes.membership.papers import read_paper  # noqa: PLC0415
    from schemas.membership import HubPaper  # noqa: PLC0415

    _, site = o.broker_site(f"{name}={broker}", "sublet", tls=tls)
    pem = o.text_of(authority, "tls_authority")
    path = new_hub(folder, name, site, authority=pem, links=links or [], leaf=leaf, now=time.time())
    key = read_paper(path, HubPaper).public_key.hex()
    output = Output(as_json=as_json)
    output.result({"paper": path, "public_key": key})
    output.text(f"key         {key}", f"paper       {path}: send this to the operators of all hubs, nothing else")


def renew(
    *,
    config: o.Config,
    key: Annotated[bool, typer.Option("--key", help="A new key.")] = False,
    password: Annotated[bool, typer.Option("--password", help="A new password at the broker.")] = False,
    as_json: o.Json = False,
) -> None:
    """Make this node's next key or password, and the request that asks its hub to admit it. Until the welcome is there
    nothing changes.
    """
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.membership.organisation import renew as make  # noqa: PLC0415

    path = make(read_config(config, os.environ), time.time(), key=key, password=password)
    output = Output(as_json=as_json)
    output.result({"request": path})
    output.text(f"request     {path}: send this to the hub's operator, nothing else")


def _role(text: str) -> ParticipantRole:
    from typing import get_args  # noqa: PLC0415

    from schemas.errors import BadConfig  # noqa: PLC0415

    for role in get_args(ParticipantRole):
        if text == role:
            found: ParticipantRole = role
            return found
    raise BadConfig(f"{text!r} is not a role: write renter, lessor or partner", field="role")
