"""Who changes what is on a hub's broker: the management API, by a file of the operator's; or a file to be imported."""

from __future__ import annotations

import json
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nodes.config import MANAGEMENT_URL, NodeConfig
from nodes.membership.papers import put_file
from nodes.membership.settings import AUTHORITY
from schemas.errors import BadConfig


class Operator(Protocol):
    """Changes what is on the hub's broker (`broker.rabbitmq.management`), or says how to."""

    def apply(self, definitions: dict[str, Any], /) -> None:
        """Add what is not there yet."""

    def remove(self, vhost: str, queues: list[str], /) -> None:
        """Remove queues with their bindings."""

    def remove_user(self, name: str, /) -> None:
        """Remove an account."""


class Administrator(Operator, Protocol):
    """An operator that can also look at what is there."""

    def unbind_others(self, vhost: str, exchange: str, bound: Collection[tuple[str, str]], /) -> list[tuple[str, str]]:
        """Remove an exchange's bindings to queues but these (queue, topic pattern); those that went."""


@dataclass(frozen=True, slots=True)
class WrittenDown:
    """An `Operator` that writes what the broker lacks to a file; what is to go it cannot do."""

    path: Path

    def apply(self, definitions: dict[str, Any]) -> None:
        """Write them."""
        put_file(self.path, json.dumps(definitions, indent=1).encode() + b"\n", 0o644)

    def remove(self, vhost: str, queues: list[str]) -> None:
        """Raises BadConfig."""
        raise BadConfig("queues are removed through the management API only", field="definitions")

    def remove_user(self, name: str) -> None:
        """Raises BadConfig."""
        raise BadConfig(f"remove the account by `rabbitmqctl delete_user '{name}'`", field="definitions")


def operator(config: NodeConfig) -> Administrator:
    """The management API, by the file beside the hub's.

    Raises:
        BadConfig: the file is missing, others can read it, or it holds no such address.
    """
    from broker.rabbitmq.management import Management  # noqa: PLC0415 - commands without a broker start faster

    path = config.folder / MANAGEMENT_URL
    try:
        mode, url = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadConfig(
            f"cannot read {path} ({reason}): write https://ADMINISTRATOR:PASSWORD@HOST:15671 there, "
            "or use --definitions",
            field="management",
        ) from error
    if mode & 0o077:
        raise BadConfig(
            f"{path} has mode {mode:04o}, others can get at the password: chmod 600 {path}", field="management"
        )
    return Management(url)


def own_authority(config: NodeConfig) -> str:
    """The certificates (PEM) beside the hub's file, of who signed the broker's; empty where there are none."""
    path = config.folder / AUTHORITY
    return path.read_text(encoding="utf-8") if path.exists() else ""
