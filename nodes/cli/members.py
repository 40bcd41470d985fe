"""`sublet network add`, `rotate`, `settle`, `remove`: a hub's operator; and `welcome`: whom it admitted."""

from __future__ import annotations

import getpass
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish

if TYPE_CHECKING:
    from nodes.admission.admission import Admission
    from nodes.config import NodeConfig
    from schemas.membership import Welcome

HOUR_SECONDS: Final = 3600.0
OVERLAP_HOURS: Final = 7 * 24.0
"""As long as the longest lease: contracts that name the former key are over by then."""

Request = Annotated[Path, typer.Argument(metavar="REQUEST", help="The file that the organisation sent.")]
Participant = Annotated[str, typer.Argument(metavar="HUB.NAME")]
WelcomeOut = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Where the welcome goes; by default HUB.NAME.welcome.json.")
]
Definitions = Annotated[
    Path | None,
    typer.Option(
        "--definitions",
        metavar="FILE",
        help="Write what the broker lacks to this file, for `rabbitmqctl import_definitions -`, and call no API.",
    ),
]


def add_to(group: typer.Typer) -> None:
    """Add the commands to `sublet network`."""
    for command in (add, rotate, settle, remove, greet, welcome):
        group.command(command.__name__)(command)


def add(
    request: Request,
    *,
    config: o.Config,
    out: WelcomeOut = None,
    definitions: Definitions = None,
    as_json: o.Json = False,
) -> None:
    """Admit a participant to this hub, while everything runs; the welcome is for it, and for anybody's eyes.

    Compare the key that is printed with the one that the organisation tells you by another way.
    """
    _admit(request, config, out, definitions, as_json=as_json, overlap_hours=0.0, lost=False)


def rotate(
    request: Request,
    *,
    config: o.Config,
    overlap_hours: Annotated[
        float, typer.Option("--overlap-hours", min=0, max=8760, help="So long the former key and password count too.")
    ] = OVERLAP_HOURS,
    lost_key: Annotated[
        bool, typer.Option("--lost-key", help="The former key is lost, and you know whose the new one is.")
    ] = False,
    out: WelcomeOut = None,
    definitions: Definitions = None,
    as_json: o.Json = False,
) -> None:
    """Admit a participant's new key or password (`sublet key renew`); the former one counts for some time too."""
    overlap = 0.0 if lost_key else overlap_hours
    _admit(request, config, out, definitions, as_json=as_json, overlap_hours=overlap, lost=lost_key)


def settle(participant: Participant, *, config: o.Config, as_json: o.Json = False) -> None:
    """End the time in which a participant's former key and password count: its former account goes."""
    from nodes.cli.console import Output  # noqa: PLC0415

    finish(_admission(_read(config), None).settle(participant))
    output = Output(as_json=as_json)
    output.result({"participant": participant, "settled": True})
    output.text(f"{participant} is known by its newest key and password only")


def remove(
    participant: Participant,
    *,
    config: o.Config,
    wait_seconds: Annotated[
        float, typer.Option("--wait-seconds", min=0, max=7 * 86400, help="For contracts to end by themselves.")
    ] = 600.0,
    reason: Annotated[str, typer.Option("--reason", help="For the journal.")] = "",
    as_json: o.Json = False,
) -> None:
    """Let a participant go: its orders are withdrawn, its contracts end, then its account and queues are removed."""
    from nodes.cli.console import Output  # noqa: PLC0415

    ended = finish(_admission(_read(config), None).remove(participant, reason, wait_seconds=wait_seconds))
    output = Output(as_json=as_json)
    output.result({"participant": participant, "removed": True, "contracts_ended": ended})
    output.text(f"{participant} is removed" + (f"; {ended} of its contracts were ended" if ended else ""))


def greet(participant: Participant, *, config: o.Config, out: WelcomeOut = None, as_json: o.Json = False) -> None:
    """Write a participant that is attached a new welcome: with the network as it is now."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.membership.papers import write_paper  # noqa: PLC0415

    path = out or Path(f"{participant}.welcome.json")
    write_paper(path, finish(_admission(_read(config), None).greet(participant)))
    output = Output(as_json=as_json)
    output.result({"participant": participant, "welcome": path})
    output.text(f"welcome     {path}: send it to {participant}")


def welcome(
    paper: Annotated[Path, typer.Argument(metavar="WELCOME", help="The file that the hub's operator sent.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder, with the key that it welcomes.")],
    *,
    hub_key: Annotated[
        str, typer.Option("--hub-key", metavar="HEX", help="The hub's public key, as its operator told you.")
    ] = "",
    as_json: o.Json = False,
) -> None:
    """Put a hub's welcome beside the key: settings, network description, broker address. A running node takes it up."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.membership import organisation  # noqa: PLC0415
    from nodes.membership.papers import read_paper  # noqa: PLC0415
    from schemas.membership import Welcome  # noqa: PLC0415

    found = read_paper(paper, Welcome)
    organisation.welcome(folder, found, _key(hub_key))
    output = Output(as_json=as_json)
    output.result({"node": folder / organisation.NODE, "hub_key": found.hub_key.hex(), "version": found.version})
    output.text(
        f"node        start it with: sublet {found.role} --config {folder / organisation.NODE}",
        f"hub's key   {found.hub_key.hex()}: compare it with what its operator tells you by another way",
        *_until_when(found, folder),
    )


def _until_when(found: Welcome, folder: Path) -> list[str]:
    if not found.known_until:
        return []
    until = datetime.fromtimestamp(found.known_until, UTC).isoformat(timespec="minutes")
    return [f"former      key or password count until {until}; keep {folder}/former-identity.pem until then"]


def _admit(
    request: Path,
    config: Path,
    out: Path | None,
    definitions: Path | None,
    *,
    as_json: bool,
    overlap_hours: float,
    lost: bool,
) -> None:
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.membership.papers import read_paper, write_paper  # noqa: PLC0415
    from schemas.membership import JoinRequest  # noqa: PLC0415

    asked = read_paper(request, JoinRequest)
    admission = _admission(_read(config), definitions)
    paper = finish(admission.admit(asked, overlap_seconds=overlap_hours * HOUR_SECONDS, lost=lost))
    path = out or Path(f"{asked.address}.welcome.json")
    write_paper(path, paper)
    output = Output(as_json=as_json)
    output.result({"participant": asked.address, "public_key": asked.public_key.hex(), "welcome": path})
    output.text(
        f"{asked.role:11} {asked.address}, key {asked.public_key.hex()}",
        f"welcome     {path}: send it back",
        *([f"RabbitMQ    import {definitions}"] if definitions is not None else []),
    )


def _read(path: Path) -> NodeConfig:
    from nodes.config import read_config  # noqa: PLC0415

    return read_config(path, os.environ, role="hub")


def _admission(config: NodeConfig, definitions: Path | None) -> Admission:
    from nodes.admission.admission import Admission  # noqa: PLC0415
    from nodes.admission.operator import WrittenDown, operator, own_authority  # noqa: PLC0415

    works = operator(config) if definitions is None else WrittenDown(definitions)
    return Admission(config, works, getpass.getuser(), own_authority(config), time.time)


def _key(text: str) -> bytes | None:
    from schemas.errors import BadConfig  # noqa: PLC0415

    if not text:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadConfig("--hub-key takes 64 hexadecimal digits", field="hub_key") from None
