"""The page as a web application: every request is checked first, pages and a stream of their changes are all it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import resources
from types import MappingProxyType
from typing import Final

import orjson
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nodes.page.access import HEADERS, METHODS, Gate, Refused
from nodes.page.gallery import Gallery, Picture
from nodes.page.layout import frame
from nodes.page.pages import NoSuchPage
from nodes.page.reader import LOOK_SECONDS, Reader

VIEWERS_MAX: Final = 32
"""Streams at a time."""
ALIVE_SECONDS: Final = 3.0
"""How often a viewer is told that this process lives, where nothing changes."""
FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "page.css": "text/css",
        "page.js": "text/javascript",
        "idiomorph.min.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }
)

Pause = Callable[[float], Awaitable[None]]


def build(reader: Reader, gate: Gate, stop: asyncio.Event, pause: Pause | None = None) -> ASGIApp:
    """The application. Its streams end when `stop` is set; `pause` waits so many seconds between two looks."""
    site = _Site(reader, stop, pause or _pause_until(stop))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await reader.close()

    routes = [
        Route("/events", site.events),
        Route("/static/{name}", site.file),
        Route("/{path:path}", site.page),
    ]
    return _Guarded(Starlette(routes=routes, lifespan=lifespan), gate)


def _pause_until(stop: asyncio.Event) -> Pause:
    async def pause(seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    return pause


class _Guarded:
    """Lets through what may look, and puts the page's headers on every answer."""

    def __init__(self, inner: ASGIApp, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self._answer(Request(scope)) or self._inner
        await answer(scope, receive, _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """What keeps the request out, or gives it the cookie; None lets it in."""
        try:
            self._gate.check(request.method, request.headers.get("host", ""))
            fresh = self._gate.admit(request.query_params.get("token"), request.cookies)
        except Refused as refusal:
            return _refusal(refusal)
        if not fresh:
            return None
        rest = request.url.remove_query_params("token")
        where = rest.path + (f"?{rest.query}" if rest.query else "")
        return RedirectResponse(where, 303, {"Set-Cookie": self._gate.set_cookie})


def _refusal(refused: Refused) -> Response:
    text = f"{refused.reason} ({refused.code})\n"
    return PlainTextResponse(
        text, refused.status, {"Allow": ", ".join(sorted(METHODS))} if refused.status == 405 else {}
    )


def _with_headers(send: Send) -> Send:
    extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sending


class _Site:
    """The pages of one node."""

    def __init__(self, reader: Reader, stop: asyncio.Event, pause: Pause) -> None:
        self._reader = reader
        self._stop = stop
        self._gallery = Gallery(reader)
        self._pause = pause
        self._viewers = 0

    async def page(self, request: Request) -> Response:
        try:
            found = await self._gallery.picture(_address(request))
        except NoSuchPage as error:
            return PlainTextResponse(f"{error}\n", 404)
        config = self._reader.config
        status, main = Markup(found.status), Markup(found.main)  # noqa: S704 - rendered and escaped by htpy before
        shown = frame(config.address, config.role, request.url.path, found.title, [status, main])
        return HTMLResponse(str(shown), 200 if found.found else 404)

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        kind = FILES.get(name)
        if kind is None:
            return PlainTextResponse("there is no such file\n", 404)
        raw = (resources.files("nodes.page") / "static" / name).read_bytes()
        return Response(raw, media_type=kind)

    async def events(self, request: Request) -> Response:
        if self._viewers >= VIEWERS_MAX:
            reason = f"{VIEWERS_MAX} pages are open already: close some"
            return _refusal(Refused("too-many-viewers", reason, status=503))
        return StreamingResponse(self._changes(request.query_params.get("of", "/")), media_type="text/event-stream")

    async def _changes(self, address: str) -> AsyncIterator[bytes]:
        """At most one event a second; the first has the whole page, as it may have changed since it was sent."""
        self._viewers += 1
        try:
            last, silent = Picture("", "", ""), 0.0
            while not self._stop.is_set():
                try:
                    now = await self._gallery.picture(address)
                except NoSuchPage:
                    return
                changes = _difference(last, now)
                if changes:
                    yield b"event: page\ndata: " + orjson.dumps(changes) + b"\n\n"
                elif silent >= ALIVE_SECONDS:
                    yield b"event: alive\ndata:\n\n"
                silent = 0.0 if changes or silent >= ALIVE_SECONDS else silent + LOOK_SECONDS
                last = now
                await self._pause(LOOK_SECONDS)
        finally:
            self._viewers -= 1


def _difference(last: Picture, now: Picture) -> dict[str, str | None] | None:
    if last == now:
        return None
    return {
        "title": f"{now.title}" if now.title != last.title else None,
        "main": now.main if now.main != last.main else None,
        "status": now.status if now.status != last.status else None,
    }


def _address(request: Request) -> str:
    raw: bytes = request.scope["raw_path"]
    return raw.decode("ascii") + (f"?{request.url.query}" if request.url.query else "")
