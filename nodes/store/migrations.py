"""Numbered files of SQL that make a database a store, each carried out once and in order, whichever database. Pure.

The first line of a file, `-- needs: N`, says which release may go on beside it: one that knows migration N. What a
release no longer uses is therefore only removed by the release after it, whose file says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final

_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")
_NEEDS: Final = re.compile(r"-- needs: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    number: int
    needs: int
    statements: str


def read(files: Iterable[Traversable]) -> dict[int, Migration]:
    """The migrations in these files by number; what is named otherwise is none."""
    found = ((match, file) for file in files if (match := _NAME.fullmatch(file.name)))
    return {int(match[1]): _migration(int(match[1]), file.read_text()) for match, file in found}


def is_too_young(carried_out: Mapping[int, int], known: Collection[int]) -> bool:
    """Whether a store, of which `carried_out` says what each of its migrations needs, needs one that is not known."""
    return max(carried_out.values(), default=0) > max(known)


def _migration(number: int, statements: str) -> Migration:
    needs = _NEEDS.match(statements)
    assert needs is not None, "a migration says what it needs"
    return Migration(number, int(needs[1]), statements)
