"""What goes over a broker, counted by type of event: for one job, whatever protection it has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import nodes.demo
from broker.port import Message
from nodes.local import LocalNetwork
from nodes.renter.submission import JobOptions
from schemas.orders import Protection
from tests.support.settled import until_settled

DEMO: Final = Path(nodes.demo.__file__).parent
LESSORS: Final = 2


@dataclass(slots=True)
class Traffic:
    """An observer of an embedded broker; bytes are of bodies and headers."""

    events: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)

    def __call__(self, message: Message) -> None:
        """Count it."""
        kind = str(message.headers.get("ce-type"))
        self.events[kind] += 1
        self.bytes[kind] += len(message.body) + sum(
            len(name) + len(str(each)) for name, each in message.headers.items()
        )


async def of_a_job(folder: Path, protection: Protection) -> tuple[Traffic, int]:
    """What one of the demonstration's jobs sent, from its submission until everybody has its receipts; and of how many
    contracts."""
    program = (DEMO / "breast_cancer_linear.onnx").read_bytes()
    options = JobOptions(
        protection=protection, scheme="paillier", lessors=LESSORS, accept_software_enclave=True, id_column="id"
    )
    traffic = Traffic()
    async with LocalNetwork(folder) as network:
        with network.server.observed(traffic):
            spec = network.stage(DEMO / "breast_cancer.csv", program, None, options)
            await network.submit(spec)
            reports = [report async for report in network.watch(spec.id)]
            assert reports[-1].phase == "completed", reports[-1].reason
            await until_settled(network, len(reports[-1].contracts))
    return traffic, len(reports[-1].contracts)
