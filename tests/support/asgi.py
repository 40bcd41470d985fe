"""One request to a web application, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def code(self) -> str:
        """Why it was refused."""
        return self.text.rpartition("(")[2].partition(")")[0]


async def asked(app: ASGIApp, target: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    """The whole answer to one request; `target` is path and query."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(target, method, headers or {}), receive, send)
    text = b"".join(each.get("body", b"") for each in sent[1:]).decode()
    return Answer(sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, text)


@asynccontextmanager
async def streaming(app: ASGIApp, target: str, headers: Mapping[str, str]) -> AsyncIterator[asyncio.Queue[Message]]:
    """The messages of an answer as they come; the client goes away at the end."""
    messages: asyncio.Queue[Message] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def answer() -> None:
        await app(_scope(target, "GET", headers), receive, messages.put)

    answering = asyncio.create_task(answer())
    try:
        yield messages
    finally:
        gone.set()
        await answering


def _scope(target: str, method: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
        "root_path": "",
    }
