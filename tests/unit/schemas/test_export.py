"""The generated documents describe the whole catalogue."""

from __future__ import annotations

import re

import orjson

from schemas.events import CATALOGUE
from schemas.export import asyncapi, json_schemas
from tests.support.documents import FOLDER, documents


def test_every_data_class_has_a_schema() -> None:
    definitions = json_schemas()["$defs"]
    for row in CATALOGUE.values():
        if row.data is not None:
            assert row.data.__name__ in definitions


def test_every_event_type_is_a_message_on_its_channel() -> None:
    document = asyncapi("1.0")
    for row in CATALOGUE.values():
        slug = re.sub(r"[.-]", "_", row.name)
        assert slug in document["components"]["messages"]
        assert slug in document["channels"][row.kind]["messages"]


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi("1.0")
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(document).decode()):
        node = document
        for step in reference.split("/"):
            node = node[step]


def test_the_documents_in_the_tree_are_the_generated_ones() -> None:
    for name, content in documents().items():
        assert (FOLDER / name).read_bytes() == content, "run `make documents`"
