"""`sublet page`: the node's read-only web page."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nodes.cli import options as o
from nodes.cli.loop import finish, quiet_output

if TYPE_CHECKING:
    from nodes.cli.console import Output
    from nodes.config import NodeConfig
    from nodes.page.serve import Binding


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("page")(page)


def page(
    *,
    config: o.Config,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 0,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen. Others than this machine need a token file and TLS.")
    ] = "127.0.0.1",
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="HOST", help="By which it is called; may be repeated.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token, 32 characters or more.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="A PEM certificate chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")] = None,
    as_json: o.Json = False,
) -> None:
    """Show this node in a browser: jobs live, the market, the network. Only shows; prints the address to open.

    Ends on Ctrl-C; the node goes on.
    """
    from nodes.config import read_config  # noqa: PLC0415
    from nodes.page.serve import Binding  # noqa: PLC0415

    binding = Binding(host, port, tuple(names or ()), token_file, tls_cert, tls_key)
    finish(_serve(read_config(config, os.environ), binding, quiet_output(as_json=as_json)))


async def _serve(config: NodeConfig, binding: Binding, output: Output) -> None:
    from nodes.page.serve import serve_page  # noqa: PLC0415

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def tell(address: str) -> None:
        output.text(address)
        output.result({"address": address})

    await serve_page(config, binding, stop, tell)
