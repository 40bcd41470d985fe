"""RabbitMQ's management API, as far as participants that come, change and leave need it: by the hub's operator only.

Plain HTTP of the standard library: a few requests, one after the other, each safe to repeat.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from broker.errors import AccessRefused, BrokerUnreachable
from broker.rabbitmq.tls import tls_context
from schemas.errors import BadConfig, SubletError

CALL_SECONDS_MAX: Final = 30.0
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
BINDINGS_MAX: Final = 10_000
"""That are removed one by one from a queue, before it goes: more are nobody's participant."""
_REASON_CHARS: Final = 300


class ManagementFailed(SubletError):  # noqa: N818 - reads as the sentence it is
    """The management API answered with an error. The message says what was asked, and what it said."""


class Management:
    """Calls as one of the broker's administrators. The URL holds a password: nothing here shows it."""

    def __init__(self, url: str) -> None:
        """`https://user:password@host:15671` with `?cafile=` where the authority is one's own; or `http://…:15672`.

        Raises:
            BadConfig: the URL cannot be used.
        """
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.username and parts.password
            self._port = parts.port or (15671 if parts.scheme == "https" else 15672)
        except ValueError:
            usable = False
        if not usable:
            raise BadConfig("the management API's address must be https://user:password@host:port", field="management")
        self._host = str(parts.hostname)
        self._tls = tls_context(f"amqps://?{parts.query}") if parts.scheme == "https" else None
        account = f"{parts.username}:{parts.password}".encode()
        self._headers = {
            "authorization": f"Basic {base64.b64encode(account).decode()}",
            "content-type": "application/json",
        }

    def apply(self, definitions: Mapping[str, Any]) -> None:
        """Add definitions to what is there; what is there already stays as it is. One request.

        Raises:
            BrokerUnreachable, AccessRefused, ManagementFailed
        """
        self._call("POST", "definitions", definitions)

    def remove(self, vhost: str, queues: list[str]) -> None:
        """Remove queues, if they are there; first their bindings: thousands at once would stop their broker for long.

        Raises:
            BrokerUnreachable, AccessRefused, ManagementFailed
        """
        where = quote(vhost, safe="")
        for queue in queues:
            name = quote(queue, safe="")
            rows = self._call("GET", f"queues/{where}/{name}/bindings") or []
            for row in [row for row in rows if row.get("source")][:BINDINGS_MAX]:
                bound = f"e/{quote(row['source'], safe='')}/q/{name}/{quote(row['properties_key'], safe='')}"
                self._call("DELETE", f"bindings/{where}/{bound}")
            self._call("DELETE", f"queues/{where}/{name}")

    def unbind_others(self, vhost: str, exchange: str, bound: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
        """Remove an exchange's bindings to queues but these (queue, topic pattern); those that went.

        Raises:
            BrokerUnreachable, AccessRefused, ManagementFailed
        """
        where, source, gone = quote(vhost, safe=""), quote(exchange, safe=""), list[tuple[str, str]]()
        rows = self._call("GET", f"exchanges/{where}/{source}/bindings/source") or []
        for row in rows[:BINDINGS_MAX]:
            if row["destination_type"] == "queue" and (row["destination"], row["routing_key"]) not in bound:
                queue, key = quote(row["destination"], safe=""), quote(row["properties_key"], safe="")
                self._call("DELETE", f"bindings/{where}/e/{source}/q/{queue}/{key}")
                gone.append((row["destination"], row["routing_key"]))
        return gone

    def remove_user(self, name: str) -> None:
        """Remove an account, if it is there; the broker closes its connections.

        Raises:
            BrokerUnreachable, AccessRefused, ManagementFailed
        """
        self._call("DELETE", f"users/{quote(name, safe='')}")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; None where there is none, or nothing is there."""
        where = f"{self._host}:{self._port}"
        connection = self._connection()
        try:
            connection.request(method, f"/api/{path}", None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            raw = answer.read(ANSWER_BYTES_MAX)
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise BrokerUnreachable(
                f"RabbitMQ's management API does not answer at {where} ({reason}): is the plugin rabbitmq_management "
                "enabled there, and the address right?"
            ) from error
        finally:
            connection.close()
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise AccessRefused(f"the management API at {where} refuses this account: it has to be an administrator's")
        if answer.status >= http.client.BAD_REQUEST:
            said = raw[:_REASON_CHARS].decode(errors="replace")
            raise ManagementFailed(f"{method} {path} at {where} failed with {answer.status}: {said}")
        return json.loads(raw) if raw else None

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CALL_SECONDS_MAX)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CALL_SECONDS_MAX, context=self._tls)
