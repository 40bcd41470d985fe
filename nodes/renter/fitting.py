"""From a user's wishes to a model's rows: which columns it has, and whether they can be used."""

from __future__ import annotations

from typing import Final

import numpy as np

from nodes.data.port import Source
from nodes.data.reading import Missing, Reading
from nodes.data.table import Table
from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint.categories import Encoding
from nodes.joint.columns import Floats
from nodes.joint.encoding import encoding_of
from nodes.joint.files import column_of, label_of
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from nodes.programs.build import identity
from schemas.errors import BadConfig, BadData
from schemas.joint import Fitting

MISSING: Final[tuple[Missing, ...]] = ("refuse", "mean")


def columns_of(source: Source, fitting: Fitting, reading: Reading) -> Encoding:
    """The model's columns, and then the label; the file is read where some are text.

    Raises:
        BadInput: there is no such label or column, or there are more than fit into a ciphertext.
    """
    if fitting.label in (reading.id_column, *reading.columns):
        raise BadConfig(f"the label {fitting.label!r} is named as another column too", field="label")
    source.header.position(fitting.label)
    if fitting.label not in source.header.numeric:
        wanted = "write 0 and 1" if fitting.algorithm.name == "logistic" else "a model of numbers takes numbers"
        raise BadData(f"the label {fitting.label!r} of {source.header.file} is text: {wanted}", column=fitting.label)
    found = encoding_of(source, reading, fitting.label, Limits().support)
    if found.names == found.label:
        raise BadData(f"{source.header.file} has no column for a model beside {fitting.label!r}")
    try:
        Layout.widest(fitting.key_bits, len(found.names))
    except Overflow as error:
        if not found.texts:
            raise
        made = ", ".join(f"{each.column} {len(each.names)}" for each in found.texts)
        raise BadData(f"{error}; columns of text become several: {made}") from error
    return found


def program_of(encoding: Encoding) -> bytes:
    """What enclaves do with the rows before they seal them: nothing. It names no column: categories are data."""
    return identity([f"column {at}" for at in range(1, len(encoding.names) + 1)])


def require_usable(table: Table, fitting: Fitting) -> None:
    """That the label is one of its kind of model, and that every column varies. The label is the last column.

    Raises:
        BadData: naming the column, with counts.
    """
    label = label_of(table)
    try:
        MODELS[fitting.algorithm.name].target(label)
    except BadData as error:
        raise BadData(f"column {fitting.label!r}: {error}", column=fitting.label) from error
    constant = [name for at, name in enumerate(table.columns) if not _varies(column_of(table, None, at))]
    if constant:
        raise BadData(f"{constant[0]!r} has the same value in every row, and teaches nothing: leave it out")


def _varies(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known) and known.min() < known.max())
