"""What the documents name, is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from nodes.views.frameworks import FRAMEWORKS

ROOT: Final = Path(__file__).resolve().parents[2]
PATH: Final = re.compile(r"`((?:schemas|broker|nodes|tests)/[\w/.*]*)`")


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "THREAT_MODEL.md", "docs/export.md"])
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = set(PATH.findall((ROOT / document).read_text(encoding="utf-8")))
    assert named or document in ("README.md", "docs/export.md")
    assert [path for path in sorted(named) if not any(ROOT.glob(path))] == []


def test_the_page_on_exports_says_what_the_command_says() -> None:
    _, *sections = (ROOT / "docs" / "export.md").read_text(encoding="utf-8").split("\n## ")
    assert [each.partition("\n")[0] for each in sections] == [each.name for each in FRAMEWORKS]
    for section, framework in zip(sections, FRAMEWORKS, strict=True):
        assert f"```python\n{framework.lines}\n```" in section
        ast.parse(framework.lines)
        said = " ".join(section.split()).casefold()
        for words in (framework.on_ciphertext, framework.in_enclaves, framework.beware):
            assert words.casefold() in said
