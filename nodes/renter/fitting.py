"""From a user's wishes to a model's rows: which columns it has, and whether they can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nodes.data.header import Header
from nodes.data.reading import Missing
from nodes.data.table import Table
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint.columns import Floats
from nodes.joint.files import values_of
from nodes.joint.models import MODELS
from nodes.programs.build import identity
from schemas.errors import BadConfig, BadData
from schemas.joint import Fitting

MISSING: Final[tuple[Missing, ...]] = ("refuse", "mean")


def program_of(header: Header, fitting: Fitting, id_column: str | None, chosen: Sequence[str]) -> bytes:
    """What enclaves do with the rows before they seal them: nothing. Its columns are the model's, and then the label.

    Raises:
        BadInput: there is no such label or column, or there are more than fit into a ciphertext.
    """
    header.position(fitting.label)
    for name in chosen:
        header.position(name)
    if fitting.label in (id_column, *chosen):
        raise BadConfig(f"the label {fitting.label!r} is named as another column too", field="label")
    others = (fitting.label, id_column, "")
    columns = tuple(chosen) or tuple(each for each in header.columns if each in header.numeric and each not in others)
    if not columns:
        raise BadData(f"{header.file} has no column of numbers beside {fitting.label!r}: name some by --columns")
    Layout.widest(fitting.key_bits, len(columns) + 1)
    return identity((*columns, fitting.label))


def require_usable(table: Table, fitting: Fitting) -> None:
    """That the label is one of its kind of model, and that every column varies. The label is the last column.

    Raises:
        BadData: naming the column, with counts.
    """
    label = label_of(table)
    missing = int(np.isnan(label).sum())
    if missing:
        raise BadData(f"the label {fitting.label!r} is missing in {missing} of {table.rows} rows: leave those out")
    MODELS[fitting.algorithm.name].target(label)
    constant = [name for at, name in enumerate(table.columns) if not _varies(values_of(table, None, [at])[:, 0])]
    if constant:
        raise BadData(f"{constant[0]!r} has the same value in every row, and teaches nothing: leave it out")


def label_of(table: Table) -> Floats:
    """The last column."""
    return values_of(table, None, [len(table.columns) - 1])[:, 0]


def _varies(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known) and known.min() < known.max())
