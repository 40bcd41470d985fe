"""One process that serves the page: where it listens, by which names, and with what secrets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from nodes.config import NodeConfig
from nodes.page.access import TOKEN_CHARS_MIN, Gate
from nodes.page.app import VIEWERS_MAX, build
from nodes.page.reader import Reader
from schemas.errors import BadConfig

LOOPBACK: Final = "127.0.0.1"
TOKEN_BYTES: Final = 24
CONNECTIONS_MAX: Final = 4 * VIEWERS_MAX
STOP_SECONDS_MAX: Final = 1


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the page is served. Port 0: any that is free."""

    host: str = LOOPBACK
    port: int = 0
    names: tuple[str, ...] = ()
    """By which others may call it, besides `host`."""
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = field(default=None, repr=False)

    def check(self) -> None:
        """Raises BadConfig: others could reach it without a token of their own and TLS."""
        if is_loopback(self.host):
            return
        for name, value in (("token-file", self.token_file), ("tls-cert", self.certificate), ("tls-key", self.key)):
            if value is None:
                raise BadConfig(
                    f"{self.host} can be reached from elsewhere: that needs --{name}; without --host only this machine "
                    "can look",
                    field=name,
                )

    def token(self) -> str:
        """The file's, or a fresh one.

        Raises:
            BadConfig: the file cannot be read, or is too short to be a secret.
        """
        if self.token_file is None:
            return secrets.token_urlsafe(TOKEN_BYTES)
        try:
            found = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not ASCII text"
            raise BadConfig(f"cannot read the token from {self.token_file}: {reason}", field="token-file") from error
        if len(found) < TOKEN_CHARS_MIN:
            what = f"{self.token_file} has fewer than {TOKEN_CHARS_MIN} characters"
            raise BadConfig(f"{what}: `openssl rand -base64 24` makes such a token", field="token-file")
        return found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def serve_page(config: NodeConfig, binding: Binding, stop: asyncio.Event, tell: Callable[[str], None]) -> None:
    """Serve until `stop` is set; `tell` gets the address to open, token and all, once it can be opened.

    Raises:
        BadConfig: the binding is not allowed, or nothing can listen there.
    """
    binding.check()
    token, tls = binding.token(), binding.certificate is not None
    listening = _listen(binding)
    port = listening.getsockname()[1]
    names = {binding.host, *binding.names, *(("localhost",) if is_loopback(binding.host) else ())}
    gate = Gate(frozenset(f"{_bracketed(name)}:{port}".lower() for name in names), port, token, secure=tls)
    ending = asyncio.Event()
    app = build(Reader(config, time.time, time.monotonic), gate, ending)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_SECONDS_MAX,
            ssl_certfile=binding.certificate,
            ssl_keyfile=binding.key,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    shown = binding.names[0] if binding.names else binding.host
    tell(f"{'https' if tls else 'http'}://{_bracketed(shown)}:{port}/?token={token}")
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    ending.set()
    waiting.cancel()
    await serving


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(binding: Binding) -> socket.socket:
    try:
        family = socket.getaddrinfo(binding.host, binding.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((binding.host, binding.port), family=family)
    except OSError as error:
        where = f"{_bracketed(binding.host)}:{binding.port}"
        raise BadConfig(f"cannot listen on {where}: {error.strerror or error}", field="port") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
