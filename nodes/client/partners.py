"""A partner in a network of one's own: the tables that it has, by the names that it calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from nodes.client.errors import unfit
from nodes.client.frames import kept
from schemas.errors import BadConfig
from schemas.joint import Outliers

if TYPE_CHECKING:
    from nodes.local_partner import LocalPartner

Filled = Literal["refuse", "mean"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A partner's table, for `sublet.local(partner={"claims": sublet.Dataset(df, "member")})`.

    On a running network the partner says the same in its own `node.toml`.

    table: a DataFrame of pandas or polars, an Arrow table, a path to CSV, Parquet or Arrow.
    id: the column that names its rows. Ids are compared letter by letter with the renter's.
    outliers: rows that stand alone in the columns: "refuse", or "move" to move them towards the mean.
    missing: "refuse", or "mean" in place of missing values.
    """

    table: object
    id: str
    outliers: Outliers = "refuse"
    missing: Filled = "refuse"

    def require(self, name: str) -> None:
        """Raises BadConfig: a field is of no kind that is known."""
        for field, value, known in (
            ("outliers", self.outliers, get_args(Outliers)),
            ("missing", self.missing, get_args(Filled)),
        ):
            if value not in known:
                raise unfit(f"{field} of {name!r}", value, " or ".join(map(repr, known)))
        if not isinstance(self.id, str):
            raise unfit(f"id of {name!r}", self.id, "the name of a column")


def require_datasets(partner: object) -> Mapping[str, Dataset]:
    """Raises BadConfig: these are no tables by name, or there are none."""
    named = dict(partner) if isinstance(partner, Mapping) else {}
    if not named or not all(isinstance(name, str) and isinstance(each, Dataset) for name, each in named.items()):
        message = 'partner is its tables by name, as {"claims": sublet.Dataset(df, "member")}'
        raise BadConfig(f"{message}, not {partner!r:.40}", field="partner")
    for name, each in named.items():
        each.require(name)
    return named


def local_partner(datasets: Mapping[str, Dataset], policy: Path) -> LocalPartner:
    """Who has them, and a policy that allows everything: whoever tries things out has the tables of both sides.

    Raises:
        BadData: one is no table, or has no such column.
    """
    from nodes import local_partner as local  # noqa: PLC0415 - needs NumPy and onnx
    from nodes.data.reading import Reading  # noqa: PLC0415
    from nodes.data.sources import open_source  # noqa: PLC0415
    from nodes.local import LOCAL_RENTER  # noqa: PLC0415

    made = {}
    for name, each in datasets.items():
        data = kept(each.table, each.id).data
        open_source(data).header.position(each.id)
        made[name] = local.Dataset(data, Reading(each.id, missing=each.missing), each.outliers)
    local.allow_all(LOCAL_RENTER, made, policy)
    return local.LocalPartner(made, policy)
