"""Brings a hub's broker to what its files say, while it runs: after a link more, or when it becomes a leaf or none.

What is lacking is added, as by `rabbitmqctl import_definitions`; then what nobody at the hub receives goes where it is
to go and nowhere else, which no import does. Ways are left alone: they are the hub's own (`nodes/ways.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from broker.names import unroutable_exchange
from nodes.admission.operator import Administrator
from nodes.config import NodeConfig
from nodes.membership.founding import DEFINITIONS
from schemas.errors import BadConfig

DEFINITIONS_BYTES_MAX: Final = 64 * 1024 * 1024


def apply(config: NodeConfig, operator: Administrator) -> list[tuple[str, str]]:
    """Add first, then remove, so that nothing gets lost between; the (queue, topic pattern) that went.

    Raises:
        BadConfig: there are no definitions beside the hub's file, or they are of another broker.
        BrokerUnreachable, AccessRefused, ManagementFailed: by the broker.
    """
    path, exchange = config.folder / DEFINITIONS, unroutable_exchange(config.hub)
    made = _read(path)
    rest = [each for each in made.get("bindings", ()) if each["source"] == exchange]
    if not rest:
        raise BadConfig(f"{path} is not of the broker of {config.address}", field="definitions")
    operator.apply(made)
    bound = {(each["destination"], each["routing_key"]) for each in rest}
    return operator.unbind_others(rest[0]["vhost"], exchange, bound)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(DEFINITIONS_BYTES_MAX)
        made = json.loads(raw)
    except OSError as error:
        reason = f"cannot read {path} ({error.strerror or error}): `sublet network found` writes it"
        raise BadConfig(reason, field="definitions") from error
    except ValueError as error:
        raise BadConfig(f"{path} is no JSON: {error}", field="definitions") from error
    if not isinstance(made, dict):
        raise BadConfig(f"{path} has no definitions", field="definitions")
    return made
