"""The affine map that a linear program computes: what homomorphic encryption can run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AffineMap:
    """`y = x @ weights + bias` for every row x; with `sum_rows`, the sum of x over all rows is mapped instead.

    Shapes: weights float64 [width_in, width_out], bias float64 [width_out]. With `sum_rows` the result has one row,
    `sum(x) @ weights + bias`; over several batches the renter adds the parts and the bias once.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    sum_rows: bool = False

    @property
    def width_in(self) -> int:
        """Number of input columns."""
        return int(self.weights.shape[0])

    @property
    def width_out(self) -> int:
        """Number of output elements."""
        return int(self.weights.shape[1])
