"""What a job would take under each protection, as data and for people. `nodes/quotes/quoting.py` finds it out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final

from nodes.quotes.prices import PriceSource

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One way to protect the data. Seconds are of one core; numbers are None where nothing could be predicted."""

    protection: str
    scheme: str | None
    """Of homomorphic encryption."""
    possible: bool
    reason: str
    """What it is, or why not."""
    own_seconds: float | None = None
    """Of this renter: encrypting, decrypting, checking."""
    lessor_seconds: float | None = None
    """Of all lessors together."""
    bytes_sent: int | None = None
    bytes_back: int | None = None
    error: float | None = None
    """Largest absolute error of a result that encryption can cause."""
    price: float | None = None
    """In the network's currency, at the lowest price that is known (`Quote.prices`); None where none is."""
    price_most: float | None = None
    """The same at the highest price that the job would pay."""
    units_free: int | None = None
    """In the market; None where its hub did not answer."""

    @property
    def name(self) -> str:
        """With its scheme."""
        return self.protection + (f" ({self.scheme})" if self.scheme else "")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Quote:
    """What a job would take."""

    rows: int
    columns: tuple[str, ...]
    """That the program takes, in its order."""
    chosen: str | None
    """The protection that the job would run under; None when none will do."""
    scheme: str | None
    """Of homomorphic encryption, if that was chosen."""
    reason: str
    """What decided that, or why none will do."""
    offers: tuple[Offer, ...]
    prices: PriceSource
    """Where prices are from: the best offers of the market, or this renter's last contracts where its hub is silent."""

    def __str__(self) -> str:
        head = f"{self.rows:,} rows × {len(self.columns)} columns: {self.chosen or 'cannot run'} ({self.reason})"
        return "\n".join([head, *("  " + "  ".join(each for each in row if each) for row in map(_cells, self.offers))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _HEADER)
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in _cells(each)) + "</tr>"
            for each in self.offers
        )
        said = escape(str(self).partition("\n")[0])
        return f"<div>{said}</div><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


_HEADER: Final = ("protection", "possible", "own core-seconds", "lessors' core-seconds", "out and back", "price", "why")


def _cells(offer: Offer) -> tuple[str, ...]:
    """One row for people."""
    known = offer.own_seconds is not None
    return (
        offer.name,
        "yes" if offer.possible else "no",
        f"{offer.own_seconds:.3g} s" if known else "",
        f"{offer.lessor_seconds:.3g} s" if known else "",
        f"{(offer.bytes_sent or 0) / MIB:.3g} + {(offer.bytes_back or 0) / MIB:.3g} MiB" if known else "",
        _price(offer),
        offer.reason,
    )


def _price(offer: Offer) -> str:
    about = [] if offer.price is None else [f"{offer.price:.3g}"]
    return ", ".join(about + ([] if offer.price_most is None else [f"at most {offer.price_most:.3g}"]))
