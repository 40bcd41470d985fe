"""From a user's files and wishes to a job: everything is checked before anything is published.

What the program needs of the data is laid into the job's folder, so what is computed is what was submitted; programs go
to the blob store in their checked, canonical form.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, structs

from nodes.data.binding import require_chain
from nodes.data.making import make_table
from nodes.data.port import Source
from nodes.data.reading import Dialect, Missing, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table
from nodes.homomorphic import schemes
from nodes.joint.categories import Encoding
from nodes.joint.encoding import laid_down, write_encoding
from nodes.operations.tracing import carrying, current, outside
from nodes.programs import encoder as encoders
from nodes.programs.check import check
from nodes.programs.cut import Cut
from nodes.programs.program import Program
from nodes.programs.steepness import steepness
from nodes.protections import AUTO, CIPHERTEXT, SEALED, asked
from nodes.renter import invitation, scoring
from nodes.renter.files import outputs
from nodes.renter.files.folder import JobFolder
from nodes.renter.files.outputs import Outputs
from nodes.renter.fitting import MISSING, columns_of, program_of, require_usable
from nodes.renter.invitation import Checked, Invitation
from nodes.renter.prediction.encodings import GAPS_NEED_ENCLAVE
from nodes.runtime.post import Post
from nodes.store.blobs import BlobStore
from schemas import limits
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.events import JobCancelled, JobDeleted, JobSubmitted
from schemas.ids import derive_id
from schemas.jobs import CutNote, CutProgram, JobSpec
from schemas.money import MICROS, to_micros
from schemas.tracing import first_traceparent


def new_job_id() -> str:
    """A fresh job id."""
    return derive_id("job", os.urandom(16).hex())


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a user may wish for; see `schemas.jobs.JobSpec` for units."""

    protection: str = AUTO
    scheme: str = "auto"
    noise: str = "fixed-base"
    results_stay: bool = False
    id_column: str | None = None
    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    missing: Missing = "refuse"
    lessors: int = 2
    lessors_min: int = 1
    units: int | None = None
    encrypt_seconds_max: float = limits.ENCRYPT_SECONDS_MAX_DEFAULT
    decrypt_seconds_max: float | None = None
    max_error: float = limits.MAX_ERROR_DEFAULT
    local_share: float = 0.1
    price_max: float = limits.PRICE_MICROS_MAX_DEFAULT / MICROS
    """Per unit and hour, in the network's currency."""
    budget: float | None = None
    """That all its contracts may cost together, in the network's currency."""
    match_seconds: float = limits.MATCH_SECONDS_DEFAULT
    lease_seconds: float = limits.LEASE_SECONDS_DEFAULT
    batch_rows: int | None = None
    accept_software_enclave: bool = False
    joint: Invitation | None = None

    @property
    def reading(self) -> Reading:
        """What is said about the data."""
        dialect = Dialect(self.delimiter, self.decimal, self.encoding)
        return Reading(self.id_column, self.columns, dialect, self.missing)


@dataclass(frozen=True, slots=True)
class Programs:
    """What a job may run."""

    whole: Program
    cut: Cut | None
    local: Program | None


def stage(
    data: Path | Source,
    program: bytes,
    local_program: bytes | None,
    options: JobOptions,
    *,
    jobs: Path,
    blobs: BlobStore,
    job_id: str,
) -> JobSpec:
    """Check the user's files and wishes and lay them into the job's folder, ready to be published.

    Raises:
        BadInput: naming row and column, operator or option, and what to do.
    """
    wanted, opened = asked(options.protection), replace(options, delimiter=None, decimal=".", encoding=None)
    if options.joint is not None:  # its file may be read more than once
        data, options = open_source(data, options.reading.dialect), opened
    encoding, program = _model(data, program, options, jobs)
    checked, encoder = encoders.read(program)
    local = check(local_program) if local_program is not None else None
    cut = cut_of(checked, options) if wanted in (None, CIPHERTEXT) and options.joint is None else None
    _check_scheme(options)
    joint = _joint(options, checked)
    if joint is not None and encoder is not None and not _scored_by(options):
        raise BadProgram("the lessors' program of a joint job takes numbers only: encode text before")
    own = checked if joint is None or joint.program is None else joint.program
    if local is not None:
        require_chain(own, local)
    last = local or own
    _check_id_column(options, checked, last)
    folder = JobFolder(jobs / job_id)
    folder.make()
    try:
        if encoding is None:
            taken = checked if joint is None else invitation.bound(checked)
            table = make_table(folder.table, data, taken, options.reading, encoder)
        else:
            table = _lay_down(encoding, data, options, folder)
        if table.gaps and wanted is CIPHERTEXT:
            raise BadData(f"{table.gaps}; {GAPS_NEED_ENCLAVE}")
        _take_model(table, data, options, jobs, folder)
        noted = None if cut is None else note_of(cut)
        outputs.write(folder.path, Outputs(names=last.output_names, whole=dict(last.whole), cut=noted))
        spec = _spec(table, Programs(checked, cut, local), options, job_id)
        if joint is not None:
            fields = {"joint": joint.part(table, job_id), "protection": SEALED.name, "local_share": 0.0}
            spec = structs.replace(spec, **fields)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    for each in (checked, *((cut.beginning, cut.rest) if cut else ()), *((local,) if local else ())):
        blobs.put(each.canonical)
    for raw in () if joint is None else joint.files:
        blobs.put(raw)
    return spec


def _lay_down(encoding: Encoding, data: Path | Source, options: JobOptions, folder: JobFolder) -> Table:
    """The table of a model to fit; raises BadInput."""
    table = laid_down(encoding, folder.table, open_source(data), options.reading)
    write_encoding(folder.encoding, encoding)
    return table


def _scored_by(options: JobOptions) -> str | None:
    """The job whose model scores the rows."""
    return options.joint.score if options.joint else None


def _take_model(table: Table, data: Path | Source, options: JobOptions, jobs: Path, folder: JobFolder) -> None:
    """Hold a model's table against it, where there is one; raises BadInput."""
    wanted = options.joint
    if wanted is not None and wanted.fitting is not None:
        require_usable(table, wanted.fitting)
    if wanted is not None and wanted.score is not None:
        fit = scoring.take_fit(jobs, wanted.score, table.rows, folder)
        if wanted.label is not None:
            scoring.take_labels(data, wanted.label, options.reading.dialect, fit, folder)


def _model(data: Path | Source, program: bytes, options: JobOptions, jobs: Path) -> tuple[Encoding | None, bytes]:
    """The lessors' program: as it was given, or of a job that scores with a model or fits one, of the encoding's
    columns. Raises BadInput."""
    fitting, model = options.joint.fitting if options.joint else None, _scored_by(options)
    if options.missing == "mean" and fitting is None:
        raise BadConfig("--missing mean is for models that are fitted: give nan or refuse", field="missing")
    if fitting is None and model is None:
        return None, program
    if program:
        raise BadConfig("a model takes no program: leave --program and its like out", field="program")
    if model is not None:
        return None, scoring.program_of(jobs, model)
    assert fitting is not None
    if options.missing not in MISSING:
        raise BadConfig(f"--missing {options.missing}: a model takes {' or '.join(MISSING)}", field="missing")
    encoding = columns_of(open_source(data), fitting, options.reading)
    return encoding, program_of(encoding)


async def publish_job(post: Post, spec: JobSpec) -> None:
    """Publish `job.submitted` to the renter's own queue; any of its workers takes it. The job's trace begins here, or
    goes on from the caller's.

    Raises:
        SubletError: the broker did not take it.
    """
    with carrying(current() or outside() or first_traceparent(spec.id)):
        await _publish(post, "job.submitted", spec.id, JobSubmitted(spec=spec))


async def publish_cancel(post: Post, job_id: str) -> None:
    """Publish `job.cancelled` to the renter's own queue; raises as `publish_job`."""
    await _publish(post, "job.cancelled", job_id, JobCancelled(job=job_id))


async def publish_delete(post: Post, job_id: str) -> None:
    """Publish `job.deleted` to the renter's own queue; raises as `publish_job`."""
    await _publish(post, "job.deleted", job_id, JobDeleted(job=job_id))


async def _publish(post: Post, event_type: str, job_id: str, data: Struct) -> None:
    await post.send(event_type, post.me, job_id, data, event_id=derive_id("event", job_id, event_type))


def cut_of(program: Program, options: JobOptions) -> Cut | None:
    """Where it is cut if ciphertext is chosen, by the user or by the assessment.

    Raises:
        BadProgram: the user chose it, and it can compute nothing of the program.
    """
    try:
        return schemes.cut_for(program, products=schemes.may_multiply(options.scheme, options.results_stay))
    except BadProgram:
        if asked(options.protection) is CIPHERTEXT:
            raise
        return None


def note_of(cut: Cut) -> CutNote:
    """What is told of a cut."""
    steep = steepness(cut.rest)
    return CutNote(
        at=cut.at,
        numbers=cut.beginning.width_out,
        locally=tuple(dict.fromkeys(each.operator for each in cut.rest.nodes if each.operator != "Identity")),
        factor=steep.factor if math.isfinite(steep.factor) else None,
        flips=steep.flips,
    )


def _spec(table: Table, programs: Programs, options: JobOptions, job_id: str) -> JobSpec:
    cut, local = programs.cut, programs.local
    fields: dict[str, Any] = {
        name: getattr(options, name) for name in options.__dataclass_fields__ if name in JobSpec.__struct_fields__
    }
    del fields["joint"]
    fields |= {
        "id": job_id,
        "data": table.digest,
        "program": programs.whole.digest,
        "price_micros_max": to_micros(options.price_max, "price_max", limits.PRICE_MICROS_MAX),
        "budget_micros": None if options.budget is None else to_micros(options.budget, "budget"),
        "cut": None if cut is None else CutProgram(beginning=cut.beginning.digest, rest=cut.rest.digest),
        "local_program": None if local is None else local.digest,
    }
    try:
        spec = msgspec.convert(fields, JobSpec)
    except msgspec.ValidationError as error:
        said, _, field = str(error).strip("`").rpartition(" - at `$.")
        raise BadConfig(f"{field} cannot be {fields[field]!r:.40}: {said}", field=field) from error
    if spec.lessors_min > spec.lessors:
        least, most = spec.lessors_min, spec.lessors
        raise BadConfig(f"at least {least} lessors and at most {most}: raise --lessors", field="lessors_min")
    return spec


def _check_scheme(options: JobOptions) -> None:
    if options.scheme == "ckks" and not options.results_stay:
        raise BadConfig(schemes.MUST_STAY, field="scheme")
    if options.scheme == "bfv" and options.joint is not None:
        raise BadConfig(schemes.NOT_JOINT, field="scheme")
    if asked(options.protection) is SEALED and options.scheme not in schemes.SEALS:
        raise BadConfig(schemes.NOT_SEALING, field="scheme")


def _check_id_column(options: JobOptions, program: Program, last: Program) -> None:
    if options.id_column is not None and program.sum_rows:
        raise BadData("a program that sums over rows gives one row without an id: leave --id-column out")
    if options.id_column in last.output_names:
        message = f"the id column {options.id_column!r} is called as a result of the program: rename that column"
        raise BadData(message, column=options.id_column)


def _joint(options: JobOptions, program: Program) -> Checked | None:
    """What the job asks of a partner, if it has one; raises BadInput."""
    if options.joint is None:
        return None
    protection, id_column = options.protection, options.id_column
    return invitation.checked(options.joint, program, protection=protection, id_column=id_column)
