"""Text as columns of 0 and 1, one per category, so that a model can have it. Pure.

The most frequent category is the baseline and has no column: its weight is 0, the others' are differences to it. So
most rows are zeros, which cost nothing on ciphertexts, and the columns do not add up to a constant.

A category that few rows have would show them. Such ones share a column, which has as many rows as any other; where
there are too few even together, they take the rarest of the others with them. A category that was not there when the
model was fitted counts as one of the rare ones, and as the baseline where there are none (scikit-learn's
`OneHotEncoder` has the same rule as `infrequent_if_exist`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from schemas.limits import SUPPORT_MIN

CATEGORIES_MAX: Final = 256
"""Columns that one column of text may become."""
RARE: Final = "(rare)"
"""In the name of the column of rare categories."""


class Categories(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one column of text becomes columns, which all have at least as many rows as was asked."""

    column: str
    kept: Annotated[tuple[str, ...], Meta(max_length=CATEGORIES_MAX)]
    """Those with a column of their own, in alphabetical order."""
    baseline: str | None
    """The one without a column; None: the rare ones have none."""
    rare: bool
    """Whether the last column is the rare ones'."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(f"{self.column}={each}" for each in (*self.kept, *([RARE] if self.rare else [])))

    def weights(self, by_name: Mapping[str, float]) -> tuple[dict[str, float], float]:
        """Of every known category, from those of the columns; and of any other."""
        other = by_name[self.names[-1]] if self.rare else 0.0
        known = {each: by_name[name] for each, name in zip(self.kept, self.names, strict=False)}
        return known | ({} if self.baseline is None else {self.baseline: 0.0}), other


class Omitted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column that a model does not have although nobody left it out, and why."""

    column: str
    reason: str


class Encoding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's columns: of numbers, then what each column of text becomes, then the label where there is one."""

    numbers: tuple[str, ...]
    texts: tuple[Categories, ...] = ()
    label: tuple[str, ...] = ()
    omitted: tuple[Omitted, ...] = ()
    support: int = 0
    """Rows that every category has, at least."""

    @classmethod
    def of(cls, columns: Sequence[str], texts: tuple[Categories, ...], *label: str) -> Encoding:
        """From the names of a model's columns, the last of which were made of text."""
        made = sum(len(each.names) for each in texts)
        return cls(numbers=tuple(columns[: len(columns) - made]), texts=texts, label=label, support=SUPPORT_MIN)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all."""
        return (*self.numbers, *(name for each in self.texts for name in each.names), *self.label)

    @property
    def encoded(self) -> range:
        """Which of them are made of text."""
        return range(len(self.numbers), len(self.names) - len(self.label))

    @property
    def taken(self) -> tuple[str, ...]:
        """The columns of the file."""
        return (*self.numbers, *(each.column for each in self.texts), *self.label)


def categories(column: str, counts: Mapping[str, int], support: int) -> Categories | Omitted:
    """Of how many rows have each text. No column, and no baseline, has fewer than `support` rows."""
    kept = _kept(counts, support)
    rare = sum(counts.values()) - sum(counts[each] for each in kept)
    if len(kept) + bool(rare) < 2:
        reason = f"its {len(counts):,} different texts leave no two categories of {support} rows each"
        return Omitted(column=column, reason=reason)
    if len(kept) > CATEGORIES_MAX:
        reason = f"it has {len(kept):,} categories; at most {CATEGORIES_MAX} become columns"
        return Omitted(column=column, reason=reason)
    most = max(kept, key=lambda each: (counts[each], each), default="")
    if rare > counts.get(most, 0):
        return Categories(column=column, kept=kept, baseline=None, rare=False)
    others = tuple(each for each in kept if each != most)
    return Categories(column=column, kept=others, baseline=most, rare=rare > 0)


def _kept(counts: Mapping[str, int], support: int) -> tuple[str, ...]:
    by_count = sorted(counts, key=lambda each: (counts[each], each))
    number = sum(count < support for count in counts.values())
    while 0 < number < len(by_count) and sum(counts[each] for each in by_count[:number]) < support:
        number += 1
    return tuple(sorted(by_count[number:]))
