"""Generated documents: of events, and the table of metrics. `make documents` writes them, tests hold them to code."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

from nodes.operations.metrics import Metrics
from schemas.export import asyncapi, json_schemas

OPERATORS: Final = Path(__file__).parents[2] / "docs" / "operators.md"
BEGIN: Final = "<!-- metrics: written by make documents -->"
END: Final = "<!-- end of metrics -->"
FOLDER: Final = Path(__file__).parents[2] / "schemas" / "generated"


def documents() -> Mapping[str, bytes]:
    """File name → content, as it should be."""
    made: dict[str, Any] = {
        "events.schema.json": json_schemas(),
        "asyncapi.json": asyncapi(version("sublet")),
    }
    return {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n" for name, value in made.items()}


def metrics_table() -> str:
    """All metrics, as a table of Markdown."""
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels)} | {each.about} |"
        for each in Metrics().series
    ]
    return "\n".join(["| metric | kind | labels | what |", "| --- | --- | --- | --- |", *rows])


def main() -> None:
    """Write the documents."""
    before, begin, rest = OPERATORS.read_text().partition(BEGIN)
    OPERATORS.write_text(f"{before}{begin}\n{metrics_table()}\n{END}{rest.partition(END)[2]}")
    FOLDER.mkdir(exist_ok=True)
    for name, content in documents().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
