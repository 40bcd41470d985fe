"""TLS to the broker, by the options of its URL."""

from __future__ import annotations

import ssl
from urllib.parse import parse_qsl, urlsplit

from schemas.errors import BadConfig


def tls_context(url: str) -> ssl.SSLContext | None:
    """How to check the broker and to show ourselves; None without TLS.

    Raises:
        BadConfig: the options cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return None
    options = dict(parse_qsl(parts.query))
    if "no_verify_ssl" in options:
        raise BadConfig("no_verify_ssl in the broker's address: anybody could pose as the broker", field="amqp_url")
    certificate, key = options.get("certfile"), options.get("keyfile")
    try:
        context = ssl.create_default_context(cafile=options.get("cafile"))
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(f"{name} {options[name]}" for name in ("cafile", "certfile", "keyfile") if name in options)
        reason = error.strerror or "not what it should be"
        raise BadConfig(f"cannot use {files} of the broker's address: {reason}", field="amqp_url") from None
    return context
