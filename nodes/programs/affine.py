"""The map that a program computes, affine in columns and products of columns: what homomorphic encryption can run.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Monomial = tuple[int, ...]
"""Columns, ascending, each as often as it is multiplied; () is the constant."""


@dataclass(frozen=True, slots=True)
class AffineMap:
    """`y = x @ weights + bias` for every row x; with `sum_rows`, the sum of x over all rows is mapped instead.

    Shapes: weights float64 [width_in, width_out], bias float64 [width_out]. With `sum_rows` the result has one row,
    `sum(x) @ weights + bias`; over several batches the renter adds the parts and the bias once. With `products`, x has
    those of its columns appended: such a map is a polynomial, and weights are [width_in + products, width_out].
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    sum_rows: bool = False
    products: tuple[Monomial, ...] = ()

    @property
    def width_in(self) -> int:
        """Number of input columns."""
        return int(self.weights.shape[0]) - len(self.products)

    @property
    def degree(self) -> int:
        """Columns in the longest product; 1 for a linear map."""
        return max(map(len, self.products), default=1)

    @property
    def width_out(self) -> int:
        """Number of output elements."""
        return int(self.weights.shape[1])
