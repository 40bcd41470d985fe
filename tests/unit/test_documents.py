"""What the documents name, is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PATH: Final = re.compile(r"`((?:schemas|broker|nodes|tests)/[\w/.*]*)`")


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "THREAT_MODEL.md"])
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = set(PATH.findall((ROOT / document).read_text(encoding="utf-8")))
    assert named or document == "README.md"
    assert [path for path in sorted(named) if not any(ROOT.glob(path))] == []
