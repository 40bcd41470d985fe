"""`sublet market`, `account`, `contract`, `receipt`: what compute there is, what was owed, and files that prove it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from nodes.cli.main import main
from tests.support.settled import Site, make_site

LESSORS: Final = ("B11.B12", "B11.B13")
KEEPERS: Final = ("A11.A12", "A11.hub", "B11.hub")
PAPER = dict[str, Any]
NOBODY = "A" * 86 + "=="
"""64 bytes that no key signed with."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two jobs of two lessors each: four receipts."""
    return make_site(tmp_path_factory.mktemp("site"), ("homomorphic", "enclave"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    capsys.readouterr()
    assert main(arguments) == code
    return capsys.readouterr().out


def account(site: Site, node: str, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0) -> Any:
    return json.loads(said(capsys, "account", *site.config(node), "--json", *more, code=code))


def of_files(site: Site) -> dict[str, int]:
    """Millionths by contract, as the lessors' files say."""
    papers = [json.loads(path.read_text()) for lessor in LESSORS for path in site.receipts(lessor)]
    return {paper["contract"]["id"]: paper["receipt"]["cost_micros"] for paper in papers}


def test_accounts_add_up_to_the_receipts_to_the_micro(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    costs = of_files(site)
    assert len(costs) == 4
    assert all(costs.values())
    for keeper in KEEPERS:
        found = account(site, keeper, capsys)
        assert {each["contract"]: each["cost_micros"] for each in found["lines"]} == costs
        assert found["cost_micros"] == sum(each["cost_micros"] for each in found["sums"]) == sum(costs.values())
    earned = [account(site, lessor, capsys)["cost_micros"] for lessor in LESSORS]
    assert sum(earned) == sum(costs.values())


@pytest.mark.parametrize("node", [*KEEPERS, *LESSORS])
def test_an_account_as_csv_has_a_line_per_receipt(site: Site, node: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(said(capsys, "account", *site.config(node), "--csv"))))
    total = account(site, node, capsys)["cost_micros"]
    assert sum(int(each["cost_micros"]) for each in lines) == total > 0


def test_an_account_may_begin_later(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    lines = account(site, "A11.A12", capsys)["lines"]
    since = sorted(each["ended_at"] for each in lines)[2]
    later = account(site, "A11.A12", capsys, "--since", "1d")
    assert len(later["lines"]) == 4
    text = said(capsys, "account", *site.config("A11.A12"), "--since", "2100-01-01")
    assert "paid        0 under 0 contracts since 2100-01-01" in text
    assert since < 4e9
    said(capsys, "account", *site.config("A11.A12"), "--since", "soon", code=2)


def test_an_account_says_who_owes_whom(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert "paid  " in said(capsys, "account", *site.config("A11.A12"))
    assert "passed on  " in said(capsys, "account", *site.config("B11.hub"))
    earned = said(capsys, "account", *site.config("B11.B12"))
    assert "earned  " in earned
    assert "under 2 contracts" in earned


def test_the_receipts_of_a_node_are_listed_newest_first(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "receipt", "list", *site.config("A11.A12"), "--json"))
    assert [each["ended_at"] for each in found] == sorted((each["ended_at"] for each in found), reverse=True)
    text = said(capsys, "receipt", "list", *site.config("A11.A12"))
    assert all(each["contract"] in text for each in found)


def test_of_many_receipts_the_last_are_listed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(said(capsys, "receipt", "list", *site.config("A11.A12"), "--json", "--limit", "0"))
    assert json.loads(said(capsys, "receipt", "list", *site.config("A11.A12"), "--json", "--limit", "3")) == whole[:3]
    text = said(capsys, "receipt", "list", *site.config("A11.A12"), "--limit", "3")
    assert text.endswith("the first 3; --limit 0 shows all\n")
    assert "the first" not in said(capsys, "receipt", "list", *site.config("A11.A12"), "--limit", "4")


# ---------------------------------------------------------------- ids that the shell completes


def completed(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash is told, as its completion asks."""
    with monkeypatch.context() as given:
        given.setenv("_SUBLET_COMPLETE", "complete_bash")
        given.setenv("COMP_WORDS", line)
        given.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        capsys.readouterr()
        main([])
    return [each for each in capsys.readouterr().out.split("\n") if each]


@pytest.mark.parametrize("command", ["job show", "job cancel", "events export", "job submit x.csv --score"])
def test_the_shell_completes_ids_of_jobs(
    site: Site, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBLET_CONFIG", site.config("A11.A12")[1])
    assert completed(f"sublet {command} job-", capsys, monkeypatch) == sorted(site.jobs)
    assert completed(f"sublet {command} {site.jobs[0][:-2]}", capsys, monkeypatch) == [site.jobs[0]]


@pytest.mark.parametrize("node", ["A11.A12", "A11.hub", "B11.B12"])
def test_the_shell_completes_ids_of_contracts(
    site: Site, node: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is the one that is named before, or the one that is found."""
    own = [path.stem for path in site.receipts("B11.B12")] if node == "B11.B12" else of_files(site)
    line = f"sublet receipt export {' '.join(site.config(node))} contract-"
    assert completed(line, capsys, monkeypatch) == sorted(own)


def test_where_there_is_no_node_nothing_is_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert completed("sublet job show job-", capsys, monkeypatch) == []
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- files


def test_receipts_verify_wherever_they_come_from(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = site.receipts("B11.B12")[0]
    text = said(capsys, "receipt", "verify", str(own), *site.config("A11.hub"))
    assert "verified, signed by both parties" in text
    exported = tmp_path / "receipt.json"
    beginning = own.stem[: len("contract-") + 10]
    for wanted in (own.stem, beginning, beginning.removeprefix("contract-")):
        said(capsys, "receipt", "export", wanted, *site.config("A11.A12"), "--out", str(exported))
        assert exported.read_bytes() == own.read_bytes()
    network = str(site.nodes / "A11.A12" / "network.toml")
    value = json.loads(said(capsys, "receipt", "verify", str(exported), "--network", network, "--json"))
    assert (value["verified"], value["contract"]["id"]) == (True, own.stem)


def test_a_beginning_that_several_ids_have_is_refused_with_what_they_are(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["receipt", "export", "contract-", *site.config("A11.A12")]) == 2
    told = capsys.readouterr().err
    assert "is the beginning of 4 ids" in told
    assert all(contract in told for contract in of_files(site))
    assert main(["receipt", "export", "contract-nobody", *site.config("A11.A12")]) == 2
    assert "there is no receipt of a contract contract-nobody here" in capsys.readouterr().err


@pytest.mark.parametrize("node", ["A11.A12", "A11.hub", "B11.B12"])
def test_contracts_are_exported_and_verify(
    site: Site, node: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract, file = site.receipts("B11.B12")[0].stem, tmp_path / "contract.json"
    said(capsys, "contract", "export", contract, *site.config(node), "--out", str(file))
    text = said(capsys, "contract", "verify", str(file), *site.config("B11.hub"))
    assert f"contract    {contract}: verified" in text
    assert "A11.A12" in text


def changed(*path: str, value: Any) -> Callable[[PAPER], PAPER]:
    def change(paper: PAPER) -> PAPER:
        inner = paper
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value(inner[path[-1]]) if callable(value) else value
        return paper

    return change


def one_more(number: float) -> float:
    return number + 1


@pytest.mark.parametrize(
    ("tamper", "code", "why"),
    [
        (changed("receipt", "cost_micros", value=one_more), "renter-signature", "A11.A12 has not signed it so"),
        (changed("receipt", "ended_at", value=one_more), "renter-signature", "A11.A12 has not signed it so"),
        (changed("receipt", "lessor_signature", value=NOBODY), "lessor-signature", "B11.B12 has not signed it so"),
        (changed("contract", "price_micros", value=one_more), "renter-hub-signature", "A11.hub has not signed it so"),
        (
            changed("contract", "lessor_hub_signature", value=NOBODY),
            "lessor-hub-signature",
            "B11.hub has not signed it",
        ),
        (changed("contract", "lessor_hub", value="C11.hub"), "wrong-hub", "C11.hub is not the hub of B11.B12"),
        (lambda paper: {**paper, "paid": True}, "bad-data", "it says more than what was signed"),
        (lambda paper: {"contract": paper["contract"]}, "bad-data", "missing required field `receipt`"),
    ],
    ids=["cost", "time", "unsigned", "price", "unsigned by its hub", "other hub", "more", "half"],
)
def test_a_tampered_receipt_is_named_with_what_is_wrong(
    site: Site,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tamper: Callable[[PAPER], PAPER],
    code: str,
    why: str,
) -> None:
    file = tmp_path / "tampered.json"
    file.write_text(json.dumps(tamper(json.loads(site.receipts("B11.B12")[0].read_text()))))
    assert main(["receipt", "verify", str(file), *site.config("A11.A12")]) == 5
    told = capsys.readouterr().err
    assert f"sublet: {file}: " in told
    assert why in told
    assert main(["receipt", "verify", str(file), *site.config("A11.A12"), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["code"] == code


def test_a_receipt_of_another_contract_is_told_from_its_own(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (json.loads(path.read_text()) for path in site.receipts("B11.B12"))
    file = tmp_path / "swapped.json"
    file.write_text(json.dumps(one | {"receipt": two["receipt"]}))
    assert main(["receipt", "verify", str(file), *site.config("A11.A12"), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["code"] == "other-contract"


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "bad-json"), (b"\x00\xff" * 100_000, "bad-json"), (b"[]", "bad-data"), (b'{"id": 1}', "bad-data")],
    ids=["empty", "long and no text", "a list", "half a contract"],
)
def test_what_is_no_contract_at_all_is_named_too(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes, code: str
) -> None:
    file = tmp_path / "contract.json"
    file.write_bytes(raw)
    assert main(["contract", "verify", str(file), *site.config("A11.A12"), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["code"] == code
    assert main(["contract", "verify", str(tmp_path / "missing"), *site.config("A11.A12")]) == 2


def test_a_lessors_file_that_was_changed_is_named_and_counts_for_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    file = site.receipts("B11.B13")[0]
    before, whole = file.read_bytes(), account(site, "B11.B13", capsys)["cost_micros"]
    paper = json.loads(before)
    try:
        file.write_text(json.dumps(changed("receipt", "cost_micros", value=10**9)(json.loads(before))))
        assert main(["account", *site.config("B11.B13")]) == 5
        assert f"sublet: {file}: the receipt of {file.stem} does not hold" in capsys.readouterr().err
        found = account(site, "B11.B13", capsys, code=5)
        assert found["cost_micros"] == whole - paper["receipt"]["cost_micros"]
        assert [each["code"] for each in found["faults"]] == ["renter-signature"]
    finally:
        file.write_bytes(before)


# ---------------------------------------------------------------- the market


def test_a_hub_reads_the_market_from_its_own_store(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What other hubs told it long ago counts no more."""
    found = json.loads(said(capsys, "market", *site.config("A11.hub"), "--json"))
    subnets = {(each["subnet"], each["own"]) for each in found["supplies"]}
    assert {("A11", True)} <= subnets <= {("A11", True), ("B11", False)}
    text = said(capsys, "market", *site.config("A11.hub"))
    assert "protection" in text
    assert "homomorphic" in text
