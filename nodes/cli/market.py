"""`sublet market`, `account`, `contract`, `receipt`: what compute there is, and what was owed for it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nodes.cli import completion
from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nodes.config import NodeConfig
    from schemas.contracts import Contract, Settlement

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="What ended then or later: 2026-03-01, or 7d for seven days ago."),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="As `export` wrote it, or a lessor keeps it.")]
ContractId = Annotated[
    str,
    typer.Argument(
        metavar="CONTRACT",
        help="A contract's id, or a beginning of it that no other has.",
        autocompletion=completion.contract_ids,
    ),
]
NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "--network", metavar="network.toml", help="Whose hubs' keys are believed; by default that of the node's file."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("market")(market)
    app.command("account")(account)
    contract = typer.Typer(help="Contracts, as files that verify offline.", no_args_is_help=True)
    contract.command("export")(contract_export)
    contract.command("verify")(contract_verify)
    receipt = typer.Typer(help="Receipts of what was rented, as files that verify offline.", no_args_is_help=True)
    receipt.command("list")(receipt_list)
    receipt.command("export")(receipt_export)
    receipt.command("verify")(receipt_verify)
    app.add_typer(contract, name="contract")
    app.add_typer(receipt, name="receipt")


def market(*, config: o.Config, as_json: o.Json = False) -> None:
    """Units and best price per protection, of the own and of other subnets: as the hub knows them."""
    import time  # noqa: PLC0415

    from nodes.cli import market_show as show  # noqa: PLC0415
    from nodes.views.market import Market, at_hub  # noqa: PLC0415
    from nodes.views.source import open_store  # noqa: PLC0415

    node, output = _config(config), quiet_output(as_json=as_json)

    async def look() -> Market:
        if node.role == "hub":
            from nodes.bootstrap.hub import hub_config  # noqa: PLC0415

            async with open_store(node) as store:
                return await at_hub(store, hub_config(node), time.time())
        from nodes import desk  # noqa: PLC0415

        return await desk.market(node)

    found = finish(look())
    output.text(*show.market_lines(found))
    output.result(found)


def account(
    *,
    config: o.Config,
    since: Since = None,
    csv: Annotated[bool, typer.Option("--csv", help="A line per receipt, as CSV.")] = False,
    as_json: o.Json = False,
) -> None:
    """What this node paid, earned or passed on, from the receipts that it keeps.

    The exit code is 5 when a lessor's file is no receipt any more; it is named, and counts for nothing.
    """
    from nodes.cli import market_show as show  # noqa: PLC0415
    from nodes.views import accounts  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    found = finish(accounts.account(_config(config), _since(since)))
    if csv and not as_json:
        show.write_csv(found.lines)
    else:
        output.text(*show.account_lines(found))
    output.result({**asdict(found), "sums": found.sums, "cost_micros": found.cost_micros})
    for fault in found.faults:
        output.note(f"sublet: {fault.file}: {fault.reason} ({fault.code}); it counts for nothing")
    raise typer.Exit(5 if found.faults else 0)


def receipt_list(*, config: o.Config, since: Since = None, limit: o.Limit = o.LISTED, as_json: o.Json = False) -> None:
    """The receipts that this node keeps, newest first."""
    from nodes.cli import market_show as show  # noqa: PLC0415
    from nodes.views import accounts  # noqa: PLC0415

    output = quiet_output(as_json=as_json)
    found = finish(accounts.account(_config(config), _since(since)))
    output.text(show.receipts_table(found, limit))
    output.more(len(found.lines), limit)
    output.result(found.lines[::-1][: limit or None])


def contract_export(contract: ContractId, *, config: o.Config, out: o.Out = None) -> None:
    """A contract of this node, to be shown to others."""
    from nodes.views import papers  # noqa: PLC0415

    _write(finish(papers.contract(_config(config), contract)), out)


def receipt_export(contract: ContractId, *, config: o.Config, out: o.Out = None) -> None:
    """A receipt with its contract, to be shown to others."""
    from nodes.views import papers  # noqa: PLC0415

    _write(finish(papers.receipt(_config(config), contract)), out)


def contract_verify(file: File, *, config: o.Config, network: NetworkFile = None, as_json: o.Json = False) -> None:
    """Check a contract's signatures and terms, offline; end with 5 and say what is wrong with it."""
    from nodes.cli import market_show as show  # noqa: PLC0415
    from nodes.views.papers import verified  # noqa: PLC0415
    from schemas.contracts import Contract  # noqa: PLC0415

    found = verified(Contract, file, _hub_keys(config, network))
    output = quiet_output(as_json=as_json)
    output.text(*show.contract_lines(found))
    output.result({"verified": True, **_plain(found)})


def receipt_verify(file: File, *, config: o.Config, network: NetworkFile = None, as_json: o.Json = False) -> None:
    """Check a receipt's signatures, its contract and its cost, offline; end with 5 and say what is wrong with it."""
    from nodes.cli import market_show as show  # noqa: PLC0415
    from nodes.views.papers import verified  # noqa: PLC0415
    from schemas.contracts import Settlement  # noqa: PLC0415

    found = verified(Settlement, file, _hub_keys(config, network))
    output = quiet_output(as_json=as_json)
    output.text(*show.settlement_lines(found))
    output.result({"verified": True, **_plain(found)})


def _config(path: Path) -> NodeConfig:
    from nodes.config import read_config  # noqa: PLC0415

    return read_config(path, os.environ)


def _hub_keys(config: Path, network: Path | None) -> Mapping[str, bytes]:
    from nodes.network import read_network  # noqa: PLC0415

    return (_config(config).network if network is None else read_network(network)).hub_keys


def _since(text: str | None) -> float:
    import time  # noqa: PLC0415

    from nodes.cli.times import parse_time  # noqa: PLC0415

    return 0.0 if text is None else parse_time(text, "since", time.time())


def _write(paper: Contract | Settlement, out: Path | None) -> None:
    from nodes.cli.files import writing  # noqa: PLC0415
    from nodes.views.papers import as_file  # noqa: PLC0415

    with writing(out) as file:
        file.write(as_file(paper))


def _plain(paper: Contract | Settlement) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    plain: dict[str, Any] = msgspec.to_builtins(paper)
    return plain
