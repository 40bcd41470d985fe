"""Tables of states and the step through them: a role's transitions are rows (state, what happened) → state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

S = TypeVar("S", bound=str)


class IllegalTransition(Exception):  # noqa: N818 - a mistake of this program, not of a sender
    """A handler asked for a step that its table does not have."""


def advance(table: Mapping[tuple[S, str], S], state: S, happened: str) -> S:
    """The state after this.

    Raises:
        IllegalTransition: the table has no such row.
    """
    after = table.get((state, happened))
    if after is None:
        raise IllegalTransition(f"nothing that is {state} can be {happened}")
    return after
