"""`sublet job quote`: what a job would take, told beside the network; nothing is ordered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

import nodes.desk
from nodes.asking import HubSilent
from nodes.cli.main import main
from nodes.cli.quote_show import quote_lines
from nodes.cli.tables import Table, wrapped
from nodes.config import NodeConfig
from nodes.local import LOCAL_RENTER
from nodes.quotes.prices import Prices, of_market
from nodes.quotes.quote import Offer, Quote
from nodes.views.market import Market, Supply
from schemas.orders import Protection

WIDTH: Final = 80
ORDER: Final = ("good.csv", "--linear", "weights.csv", "--id-column", "id", "--accept-software-enclave")


@pytest.fixture
def renter(folder: Path) -> Path:
    assert main(["network", "init", "network"]) == 0
    return Path("network/nodes/A11.A12")


def quoted(renter: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert main(["job", "quote", *ORDER, "--config", str(renter / "node.toml"), *more]) == 0
    return capsys.readouterr().out


def test_without_a_network_a_job_is_priced_and_nothing_is_left_of_it(
    renter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: NodeConfig) -> Market:
        raise HubSilent("A11.hub")

    monkeypatch.setattr(nodes.desk, "market", fails)
    found = json.loads(quoted(renter, capsys, "--price-max", "2.5", "--json"))
    offer = found["offers"][0]
    assert (offer["protection"], offer["possible"], offer["price"]) == ("homomorphic", True, None)
    assert offer["price_most"] == pytest.approx(2.5 * offer["lessor_seconds"] / 3600)
    assert (found["prices"], offer["units_free"]) == ("nothing", None)
    assert not list((renter / "data").glob("jobs/*"))


def test_in_a_network_prices_are_the_markets(
    renter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(_: NodeConfig) -> Market:
        return Market(node=LOCAL_RENTER, supplies=(supply("B11", "enclave", 2, 900_000),))

    monkeypatch.setattr(nodes.desk, "market", told)
    said = quoted(renter, capsys).splitlines()
    assert said[0] == "60 rows × 3 columns; nothing is ordered"
    (enclave,) = (line for line in said if line.startswith("enclave "))
    assert enclave.split()[-1] == "2"
    assert any("the cheapest free unit of each protection, now" in line for line in said)


# ------------------------------------------------------------ prices, and how it looks


def supply(subnet: str, protection: Protection, units: int, price: int | None) -> Supply:
    return Supply(
        subnet=subnet,
        own=False,
        protection=protection,
        units=units,
        best_price_micros=price,
        memory_mib=1,
        age_seconds=0.0,
    )


def test_the_price_is_the_best_of_all_subnets_and_units_are_theirs_together() -> None:
    supplies = (
        supply("A11", "enclave", 0, None),
        supply("B11", "enclave", 2, 900),
        supply("C11", "enclave", 3, 800),
        supply("C11", "homomorphic", 0, None),
    )
    found = of_market(Market(node=LOCAL_RENTER, supplies=supplies))
    assert found == Prices("market", {"enclave": 800}, {"enclave": 5, "homomorphic": 0})


OFFER: Final = Offer(
    protection="homomorphic",
    scheme="paillier-subgroup",
    possible=True,
    reason="0.33 s to encrypt, at most 10 s allowed",
    own_seconds=123.456,
    lessor_seconds=2345.6,
    bytes_sent=1_234_567_890,
    bytes_back=12_345_678,
    price=12345.678901,
    price_most=0.00000012,
    units_free=1_234,
)
IMPOSSIBLE: Final = Offer(
    protection="sealed-result", scheme=None, possible=False, reason="no kind of enclave is accepted " * 5
)


def printed(quote: Quote, width: int | None) -> list[str]:
    lines: list[str] = []
    for part in quote_lines(quote):
        lines += part.lines(width) if isinstance(part, Table) else wrapped(part, width)
    return lines


def test_a_quote_is_a_table_that_fits_a_terminal_with_a_reason_for_each() -> None:
    quote = Quote(
        rows=12_345_678,
        columns=("a",) * 200,
        chosen="homomorphic",
        scheme="paillier-subgroup",
        reason="local compute affords it",
        offers=(OFFER, replace(OFFER, scheme=None, protection="enclave"), IMPOSSIBLE),
        prices="market",
    )
    lines, wide = printed(quote, WIDTH), printed(quote, None)
    assert max(map(len, lines)) <= WIDTH
    assert wide[1].split() == ["protection", "here", "lessors", "MiB", "price", "at", "most", "free", "units"]
    assert wide[3].split()[5:] == ["1.19e+03", "12,345.678901", "<", "0.000001", "1,234"]
    rows = [line.split() for line in lines[3:6]]
    assert [row[0] for row in rows] == ["homomorphic", "enclave", "sealed-result"]
    assert rows[0][1:5] == ["(paillier-subgroup)", "chosen", "123", "2.35e+03"]
    assert rows[1][1] == "possible"
    assert rows[2][1:] == ["impossible"]
    text = " ".join(" ".join(lines).split())
    assert "- sealed-result: no kind of enclave is accepted" in text
    assert "chosen homomorphic: local compute affords it" in text
    assert "12,345.678901" in text
