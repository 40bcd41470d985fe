"""Who may look: checked before anything is read. Pure.

A page on loopback is within reach of every web site that the same browser shows. So a request must name this server as
its host (else a site whose name is made to mean 127.0.0.1 could read it), may only read, and must know the token: in
the address at first, from then on in a cookie that no script reads and no other site's request carries.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

METHODS: Final = frozenset({"GET", "HEAD"})
TOKEN_CHARS_MIN: Final = 32
"""Of base64url: 192 bits."""

HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)
"""Of every answer. No script, style or picture but the page's own files; nothing is sent anywhere."""


class Refused(Exception):  # noqa: N818 - reads as the sentence it is
    """The request is answered with `status` and the reason, and nothing was read."""

    def __init__(self, code: str, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class Gate:
    """Of one server."""

    hosts: frozenset[str]
    """What a request may call it, as the header `Host` has it: names with the port."""
    port: int
    token: str = field(repr=False)
    secure: bool = False
    """Whether it is reached by TLS."""

    @property
    def cookie(self) -> str:
        """The name of its cookie: browsers keep those of all ports of a host together."""
        return f"sublet-page-{self.port}"

    @property
    def cookie_value(self) -> str:
        """Shows that its holder had the token; not the token itself."""
        return hmac.digest(self.token.encode(), b"sublet/v1/page-cookie", "sha256").hex()

    @property
    def set_cookie(self) -> str:
        """The header's value. Gone with the browser's session."""
        secure = "; Secure" if self.secure else ""
        return f"{self.cookie}={self.cookie_value}; Path=/; HttpOnly; SameSite=Strict{secure}"

    def check(self, method: str, host: str) -> None:
        """Raises Refused: it would change something, or asks for another server."""
        if method not in METHODS:
            raise Refused("wrong-method", "this page only shows: GET and HEAD", status=405)
        if host.lower() not in self.hosts:
            raise Refused("wrong-host", f"this is not the server {host!r:.100}", status=421)

    def admit(self, token: str | None, cookies: Mapping[str, str]) -> bool:
        """Whether the token is in the address, so that the cookie is to be set.

        Raises:
            Refused: neither is right.
        """
        if token is not None and _same(token, self.token):
            return True
        if token is None and _same(cookies.get(self.cookie, ""), self.cookie_value):
            return False
        reason = "open the address that `sublet page` printed: its token is missing, or of an earlier start"
        raise Refused("wrong-token", reason, status=403)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
