"""Ids as people type them: whole, or any beginning that only one has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nodes.views.errors import UnknownId

SHOWN_MAX: Final = 5


def unique(wanted: str, known: Iterable[str], what: str) -> str:
    """The one id that is, or begins with, `wanted`; a beginning of what comes after its first `-` will do.

    Raises:
        UnknownId: none does, or several do.
    """
    found = beginning(wanted, known)
    if not found:
        raise UnknownId(f"there is no {what} {wanted} here")
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found[:SHOWN_MAX]) + (", …" if len(found) > SHOWN_MAX else "")
    raise UnknownId(f"{wanted} is the beginning of {len(found):,} ids ({listed}): write more of it")


def beginning(wanted: str, known: Iterable[str]) -> list[str]:
    """All that `unique` may mean, sorted."""
    names = sorted(set(known))
    if wanted in names:
        return [wanted]
    return [each for each in names if wanted and (each.startswith(wanted) or _digits(each).startswith(wanted))]


def _digits(of: str) -> str:
    return of.partition("-")[2]
