"""RabbitMQ definitions: a topology as the JSON that a server loads at boot or takes over its HTTP API. Pure.

Everything a network needs on a broker is written here and nothing is declared at run time: users configure nothing.
Uses nothing that RabbitMQ 4 removed (no mirrored or transient queues). Every user has a topic permission row for the
exchange that it may write on: without one, every key would be allowed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from broker.topology import Binding, Permission, Queue, Rules, Topology
from schemas.errors import BadConfig
from schemas.ids import Address

SALT_BYTES: Final = 4
"""RabbitMQ's `rabbit_password_hashing_sha256` fixes it. So passwords are to be long and random."""
PASSWORD_CHARS_MIN: Final = 16
NOTHING: Final = "^$"


def password_hash(password: str, salt: bytes) -> str:
    """What RabbitMQ keeps of a password: base64 of salt ‖ SHA-256(salt ‖ password).

    Args:
        password: at least 16 characters, random (the salt is short and the hash is fast).
        salt: 4 fresh random bytes.

    Raises:
        BadConfig: the password is too short.
        ValueError: the salt has another length.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise BadConfig(f"a broker password has at least {PASSWORD_CHARS_MIN} characters", field="password")
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt has {SALT_BYTES} bytes, not {len(salt)}")
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(
    topology: Topology,
    hashes: Mapping[Address, str],
    *,
    vhost: str = "sublet",
    administrators: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The definitions of one broker, to be written as JSON.

    Args:
        topology: of `broker.topology.topology`.
        hashes: password hash (`password_hash`) by address; one for every address of the topology.
        vhost: one virtual host per trust domain.
        administrators: password hash by name of further users, who may use the management API.

    Raises:
        BadConfig: an address has no password hash.
    """
    for permission in topology.permissions:
        if permission.user not in hashes:
            raise BadConfig(f"{permission.user} has no password", field="hashes")
    admins = administrators or {}
    users = [_user(row.user, hashes[row.user], []) for row in topology.permissions]
    return {
        "users": users + [_user(name, hashed, ["administrator"]) for name, hashed in admins.items()],
        "vhosts": [{"name": vhost}],
        "permissions": [
            *(_permission(row, vhost) for row in topology.permissions),
            *({"user": name, "vhost": vhost, "configure": ".*", "write": ".*", "read": ".*"} for name in admins),
        ],
        "topic_permissions": [_topic_permission(row, vhost) for row in topology.permissions],
        "parameters": [],
        "global_parameters": [],
        "policies": [
            {
                "vhost": vhost,
                "name": policy.name,
                "pattern": f"^(?:{policy.pattern})$",
                "apply-to": "queues",
                "definition": _rules(policy.rules),
                "priority": 0,
            }
            for policy in topology.policies
        ],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": "topic",
                "durable": True,
                "auto_delete": False,
                "internal": exchange.internal,
                "arguments": {"alternate-exchange": exchange.alternate} if exchange.alternate else {},
            }
            for exchange in topology.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": _arguments(queue),
            }
            for queue in topology.queues
        ],
        "bindings": [_binding(row, vhost) for row in topology.bindings],
    }


def additions(made: Topology, account: str, hashed: str, *, vhost: str) -> dict[str, Any]:
    """What a broker lacks of one participant (`broker.topology.membership`), which may speak as `account`.

    Args:
        made: its queues, bindings and permission.
        account: one of `broker.names.participant_account`.
        hashed: the account's password hash.
        vhost: the hub's virtual host, which is there.
    """
    row = structs.replace(made.permissions[0], user=Address(account))
    whole = definitions(structs.replace(made, permissions=(row,)), {row.user: hashed}, vhost=vhost)
    return {
        "users": whole["users"],
        "permissions": whole["permissions"],
        "topic_permissions": whole["topic_permissions"],
        "queues": whole["queues"],
        "bindings": whole["bindings"],
    }


def _user(name: str, hashed: str, tags: list[str]) -> dict[str, Any]:
    return {"name": name, "password_hash": hashed, "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": tags}


def _permission(row: Permission, vhost: str) -> dict[str, Any]:
    return {
        "user": row.user,
        "vhost": vhost,
        "configure": NOTHING,
        "write": _whole(_either(row.exchange.replace(".", r"\."), row.leads)),
        "read": _whole(_either(row.reads, row.exchange.replace(".", r"\.") if row.leads else "")),
    }


def _topic_permission(row: Permission, vhost: str) -> dict[str, Any]:
    """Without it every key would be allowed on the one exchange that the user may write on. Who may bind there binds
    what a hub's subnet is sent, and no other pattern.
    """
    read = _whole(r"[A-Za-z0-9_-]+\.#") if row.leads else NOTHING
    return {"user": row.user, "vhost": vhost, "exchange": row.exchange, "write": _whole(row.keys), "read": read}


def _binding(row: Binding, vhost: str) -> dict[str, Any]:
    return {
        "source": row.source,
        "vhost": vhost,
        "destination": row.destination,
        "destination_type": "exchange" if row.to_exchange else "queue",
        "routing_key": row.pattern,
        "arguments": {},
    }


def _arguments(queue: Queue) -> dict[str, Any]:
    """What a queue has of its own. Dead-lettering at least once needs queues that refuse at their bound."""
    rows: dict[str, Any] = {
        "x-queue-type": "quorum" if queue.quorum else "classic",
        "x-single-active-consumer": queue.single or None,
        "x-dead-letter-exchange": queue.dead_exchange or None,
        "x-dead-letter-routing-key": queue.dead_key or None,
        "x-dead-letter-strategy": "at-least-once" if queue.dead_exchange else None,
    }
    return {name: value for name, value in rows.items() if value is not None}


def _rules(rules: Rules) -> dict[str, Any]:
    """A policy's definition."""
    rows: dict[str, Any] = {
        "delivery-limit": rules.delivery_limit,
        "message-ttl": None if rules.message_seconds_max is None else round(rules.message_seconds_max * 1000),
        "max-length": rules.messages_max,
        "max-length-bytes": rules.bytes_max,
        "overflow": "drop-head" if rules.drop_oldest else "reject-publish",
    }
    return {name: value for name, value in rows.items() if value is not None}


def _either(*patterns: str) -> str:
    return "|".join(filter(None, patterns))


def _whole(pattern: str) -> str:
    r"""Anchored by `\A` and `\z`: `$` would also accept a trailing newline."""
    return rf"\A(?:{pattern})\z" if pattern else NOTHING
