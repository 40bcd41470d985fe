"""The generated documents of the events: `make documents` writes them, and a test holds them to the code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

from schemas.export import asyncapi, json_schemas

FOLDER: Final = Path(__file__).parents[2] / "schemas" / "generated"


def documents() -> Mapping[str, bytes]:
    """File name → content, as it should be."""
    made: dict[str, Any] = {
        "events.schema.json": json_schemas(),
        "asyncapi.json": asyncapi(version("sublet")),
    }
    return {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n" for name, value in made.items()}


def main() -> None:
    """Write the documents."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
