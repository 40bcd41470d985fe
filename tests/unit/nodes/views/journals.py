"""The recorded journals of whole jobs, as the store would give them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[3] / "replay" / "journals"


def journal(name: str) -> list[bytes]:
    """The entries of one, without header and trailer."""
    return (FOLDER / f"{name}.jsonl").read_bytes().splitlines()[1:-1]
