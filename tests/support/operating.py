"""A deployment's operations ports: given out, and asked."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.deployment import Deployment

Samples = Counter[tuple[str, ...]]
"""Values by a metric's name and the values of its labels."""


def free_ports(count: int) -> list[int]:
    """Of loopback; nobody holds them."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def give_ports(
    network: Deployment, nodes: Sequence[str], bridges: Sequence[str], traces: str = ""
) -> Mapping[str, int]:
    """Write a port into each node's file, and another where a hub has bridges; by `<address>` and `<hub>/bridge`.

    `traces` is a collector's URL.
    """
    names = [*nodes, *(f"{hub}/bridge" for hub in bridges)]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    for address in nodes:
        settings = {"port": ports[address], "bridge_port": ports.get(f"{address.removesuffix('.hub')}/bridge")}
        lines = [f"{name} = {value}" for name, value in settings.items() if value]
        lines += [f'traces = "{traces}"'] if traces else []
        path = network.config(address)
        path.write_text("\n".join([path.read_text(), "[operations]", *lines, ""]))
    return ports


def page(port: int, path: str = "/metrics") -> str:
    """What is served there."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def scrape(port: int) -> Samples:
    """The metrics, as Prometheus' own parser reads them."""
    found = Samples()
    for family in text_string_to_metric_families(page(port)):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value  # type: ignore[assignment]
    return found


def status(network: Deployment, address: str, *options: str) -> tuple[int, dict[str, Any]]:
    """What `sublet node status` ends with, and says."""
    done = network.sublet("node", "status", "--config", str(network.config(address)), "--json", *options, check=False)
    return done.returncode, json.loads(done.stdout)
