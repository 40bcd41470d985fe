"""JSON Schema of the events' data and an AsyncAPI 3 document of the catalogue: generated, never by hand. Pure."""

from __future__ import annotations

import inspect
from typing import Any, Final

import msgspec

from schemas.events import CATALOGUE, EventType

ASYNCAPI: Final = "3.0.0"
JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schemas() -> dict[str, Any]:
    """One JSON Schema document (draft 2020-12) with a definition per data class."""
    classes = [row.data for row in CATALOGUE.values() if row.data is not None]
    _, components = msgspec.json.schema_components(classes, ref_template="#/$defs/{name}")
    definitions = {name: _settled(definition) for name, definition in sorted(components.items())}
    return {"$schema": JSON_SCHEMA, "title": "Data of Sublet's events", "$defs": definitions}


def asyncapi(version: str) -> dict[str, Any]:
    """The catalogue as AsyncAPI: one channel per receiving queue kind, one message per event type."""
    definitions = json_schemas()["$defs"]
    kinds = sorted({row.kind for row in CATALOGUE.values()})
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Sublet",
            "version": version,
            "description": "Events between hubs, renters, lessors and partners: CloudEvents 1.0 over AMQP 0-9-1.",
        },
        "channels": {kind: _channel(kind) for kind in kinds},
        "operations": {_slug(row.name): _operation(row) for row in CATALOGUE.values()},
        "components": {
            "messages": {_slug(row.name): _message(row) for row in CATALOGUE.values()},
            "schemas": _moved(definitions),
        },
    }


def _settled(node: Any) -> Any:
    """The same for every Python and import order: docstrings without indentation, whole numbers without a point.

    Since 3.13 docstrings come dedented; and `typing` takes `Meta(le=1)` and `Meta(le=1.0)` for one, wherever they are.
    """
    if isinstance(node, dict):
        settled = {key: _settled(value) for key, value in node.items()}
        if isinstance(settled.get("description"), str):
            settled["description"] = inspect.cleandoc(settled["description"])
        return settled
    if isinstance(node, list):
        return [_settled(each) for each in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _channel(kind: str) -> dict[str, Any]:
    suffix = "w<N>" if kind == "lane" else kind
    names = [_slug(row.name) for row in CATALOGUE.values() if row.kind == kind]
    return {
        "address": f"<dstHub>.<dst>.<srcHub>.<src>.{suffix}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _operation(row: EventType) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{row.kind}"},
        "summary": f"{' or '.join(row.sender)} to {' or '.join(row.receiver)}: {row.about}",
        "messages": [{"$ref": f"#/channels/{row.kind}/messages/{_slug(row.name)}"}],
    }


def _message(row: EventType) -> dict[str, Any]:
    message: dict[str, Any] = {"name": row.name, "summary": row.about}
    if row.data is None:
        return message | {"contentType": "application/octet-stream"}
    payload = {"$ref": f"#/components/schemas/{row.data.__name__}"}
    return message | {"contentType": "application/json", "payload": payload}


def _slug(name: str) -> str:
    return name.replace(".", "_").replace("-", "_")


def _moved(node: Any) -> Any:
    """The same definitions with references as AsyncAPI wants them."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in node.items()
        }
    return [_moved(each) for each in node] if isinstance(node, list) else node
