"""Puts records of one job into a store, and files of it into its folder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from msgspec import Struct

from nodes.programs.build import linear
from nodes.protections import ENCLAVE, SEALED, Traits
from nodes.renter.activities.services import Services
from nodes.renter.protocol.records import Facts, Job, Progress
from nodes.renter.protocol.states import JobPhase
from nodes.renter.submission import JobOptions, stage
from nodes.store.port import Decision, Input, Store
from schemas.ids import derive_id
from schemas.jobs import Assessment, JobSpec
from schemas.manifest import cut

JOB = derive_id("job", 1)
_numbers = itertools.count()


async def put(store: Store, records: Mapping[str, Struct], job: str = JOB) -> None:
    """Write records of a job."""
    await store.apply(
        [Input(f"put-{next(_numbers)}", job)],
        lambda _, __: Decision(0.0, put=records),
        owner="test",
        lease_until=0.0,
        performs_max=0,
    )


def staged(services: Services, job: str = JOB) -> JobSpec:
    """A job of six rows in its folder."""
    data = services.jobs.parent / "input.csv"
    data.write_text("a,b\n" + "".join(f"{row},{row / 2}\n" for row in range(6)))
    options = JobOptions(protection=ENCLAVE.name, accept_software_enclave=True)
    program = linear({"a": [2.0], "b": [-1.0]}, [10.0])
    return stage(data, program, None, options, jobs=services.jobs, blobs=services.blobs, job_id=job)


async def prepared(
    services: Services, phase: JobPhase = "running", *, traits: Traits = ENCLAVE, job: str = JOB
) -> JobSpec:
    """A staged job whose protection was decided."""
    spec = staged(services, job)
    facts = Facts(rows=6, width_in=2, width_out=1, sum_rows=False, program=cut(b"a program")[0])
    assessment = Assessment(
        asked="auto",
        chosen=traits.name,
        scheme="paillier" if traits is SEALED else None,
        rows=6,
        columns=2,
        cores=1,
        free_cores=1.0,
        encrypt_seconds=0.0,
        encrypt_seconds_max=1.0,
        max_error=1.0,
        candidates=(),
        reason="",
    )
    record = Job(spec=spec, submitted_at=0.0, facts=facts, assessment=assessment)
    await put(services.store, {"job": record, "progress": Progress(phase=phase)}, job)
    return spec
