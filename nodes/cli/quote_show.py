"""How a quote looks: a line per protection, then why some are impossible, and where the prices are from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nodes.cli.console import table
from nodes.cli.tables import Table
from nodes.quotes.quote import MIB, Offer, Quote

PRICES: Final = {
    "market": "prices      the cheapest free unit of each protection, now, in all subnets that the hub knows of",
    "last contracts": "prices      the cheapest of this renter's last contracts: its hub does not answer",
    "nothing": "prices      none is known: the hub does not answer, and this renter had no contract yet",
}


def quote_lines(quote: Quote) -> Iterator[str | Table]:
    """The whole of it."""
    yield f"{quote.rows:,} rows × {len(quote.columns):,} columns; nothing is ordered"
    columns = ("protection", "", "#here", "#lessors", "#MiB", "#price", "#at most", "#free units")
    made = table("", *columns, drops=("free units", "at most", "MiB"))
    for each in quote.offers:
        chosen = each.possible and (each.protection, each.scheme) == (quote.chosen, quote.scheme)
        mark = "chosen" if chosen else "possible" if each.possible else "impossible"
        made.add_row(each.name, mark, *_numbers(each))
    yield made
    yield "            here, lessors: core-seconds; MiB: out and back; at most: where units cost --price-max"
    for each in quote.offers:
        yield f"{'+' if each.possible else '-'} {each.name}: {each.reason}"
    yield PRICES[quote.prices]
    yield f"chosen      {quote.chosen or 'none'}: {quote.reason}"


def _numbers(offer: Offer) -> tuple[str, ...]:
    units = "" if offer.units_free is None else f"{offer.units_free:,}"
    if offer.own_seconds is None or offer.lessor_seconds is None:
        return ("",) * 5 + (units,)
    size = f"{((offer.bytes_sent or 0) + (offer.bytes_back or 0)) / MIB:,.3g}"
    seconds = (f"{offer.own_seconds:.3g}", f"{offer.lessor_seconds:.3g}")
    return (*seconds, size, _money(offer.price), _money(offer.price_most), units)


def _money(amount: float | None) -> str:
    """What is less than a millionth is told as such."""
    if amount is None:
        return ""
    return f"{amount:,.6f}".rstrip("0").rstrip(".") if amount >= 1e-6 else "< 0.000001" if amount else "0"
