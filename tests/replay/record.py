"""Records the journals that the replay tests use: `python -m tests.replay.record` runs a job per protection, one
with a partner's program, and one that fits a model.

Record anew when a machine is meant to behave differently, and say in the commit why; a test that fails without such a
reason has found a machine that no longer decides as it did.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

import nodes.demo
from nodes.local import LOCAL_RENTER, LocalNetwork
from nodes.renter.submission import JobOptions
from nodes.views import journal
from schemas.jobs import JobSpec
from tests.support import together as joint

JOURNALS: Final = Path(__file__).parent / "journals"
DEMO: Final = Path(nodes.demo.__file__).parent
PROTECTIONS: Final = ("homomorphic", "enclave", "sealed-result")
RECEIPTS: Final = 2


async def record(folder: Path, protection: str) -> None:
    """Run one job of a protection."""
    async with LocalNetwork(folder / protection) as network:
        options = JobOptions(protection=protection, id_column="id", accept_software_enclave=True)
        program = (DEMO / "breast_cancer_linear.onnx").read_bytes()
        spec = network.stage(DEMO / "breast_cancer.csv", program, (DEMO / "sigmoid.onnx").read_bytes(), options)
        await write(network, spec, protection)


async def record_joint(folder: Path) -> None:
    """Run one job with a partner, whose rows in common are found first."""
    case = joint.make_overlapping(folder)
    partner = joint.local_partner(case, joint.policy(folder))
    async with LocalNetwork(folder / "joint", partner=partner) as network:
        wishes = joint.wishes(aligned=False, rounds=2)
        await write(network, network.stage(case.renter, joint.lessors_program(), None, wishes), "joint")


async def record_model(folder: Path) -> None:
    """Run one job that fits a model."""
    case = joint.make_breast(folder)
    partner = joint.local_partner(case, joint.policy(folder), "move")
    async with LocalNetwork(folder / "model", partner=partner) as network:
        wishes = joint.model_wishes("logistic", batch_rows=200)
        await write(network, network.stage(case.renter, b"", None, wishes), "model")


async def write(network: LocalNetwork, spec: JobSpec, name: str) -> None:
    """Submit a job, and when it has ended write the renter's signed journal of it."""
    await network.submit(spec)
    async for _ in network.watch(spec.id):
        pass
    await receipts(network, spec.id)
    sign = network.identity(LOCAL_RENTER).sign
    lines = await journal.export(network.store, spec.id, network.renter_config, sign)
    (JOURNALS / f"{name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


async def receipts(network: LocalNetwork, job: str) -> None:
    """Return once both receipts are in, which may be after the job's end."""
    count = 0
    while count < RECEIPTS:
        await asyncio.sleep(0)
        count = sum(line["type"] == "receipt.countersigned" for line in await network.explain(job))


async def main() -> None:
    """Record all."""
    with tempfile.TemporaryDirectory() as folder:
        for protection in PROTECTIONS:
            await record(Path(folder), protection)
        await record_joint(Path(folder))
        await record_model(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
