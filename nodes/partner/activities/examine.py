"""Activities `examine` and `erase`: a request held against policy and data; what was made for a part, removed.

Policy first: a renter that it does not cover learns nothing of the data, not even whether a dataset is there.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from nodes.data.binding import bind
from nodes.data.making import FOLDER_MODE, lay_down
from nodes.data.port import Source
from nodes.data.reading import Missing, Reading
from nodes.data.sources import open_source
from nodes.data.table import Table
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.inputs import LOCAL, RECEIVED, require_inputs, width_of, without
from nodes.joint import modulus
from nodes.joint.alignment import ids_digest, require_ids
from nodes.joint.categories import Encoding
from nodes.joint.encoding import laid_down, write_encoding
from nodes.partner.activities.desk import Desk, model_of
from nodes.partner.activities.fitting import columns_of, make_ready
from nodes.partner.activities.services import Dataset, PartFolder, Services
from nodes.partner.activities.unfit import Unfit
from nodes.partner.policy import Asked, Verdict, judge, read_policy
from nodes.partner.protocol.records import Part, RequestExamined
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.program import Program
from schemas.errors import BadData, BadInput, BadProgram, VerificationFailed
from schemas.joint import JointRequested
from schemas.limits import IDS_PER_ALIGNMENT_MAX


async def examine(services: Services, desk: Desk, params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
    """Activity `examine`: what policy and data say about a request; `approved` is what a person said."""
    request = (await services.store.get(job, ["request"])).get("request")
    if not isinstance(request, JointRequested):
        return []
    try:
        model = await model_of(services.store, request)
        found = await asyncio.to_thread(_examine, services, request, model, bool(params["approved"]))
        if request.ids is not None and not found.undecided:
            await make_ready(services, desk, request, found.rows_min)
        return [("request.examined", found)]
    except Unfit as error:
        return [("request.examined", RequestExamined(code=error.code, reason=str(error), detail=error.detail))]


async def erase(services: Services, params: dict[str, Any], job: str) -> list[tuple[str, Struct]]:
    """Activity `erase`: the part is over."""

    def remove() -> None:
        shutil.rmtree(services.folder(job).path, ignore_errors=True)
        for digest in params["outputs"]:
            services.blobs.path(str(digest)).unlink(missing_ok=True)

    await asyncio.to_thread(remove)
    part = (await services.store.get(job, ["part"])).get("part")
    if isinstance(part, Part) and not part.answered:
        await asyncio.to_thread(services.rows_of(job).unlink, missing_ok=True)
    await services.keys.erase(job)
    return []


def _examine(services: Services, request: JointRequested, model: Part | None, approved: bool) -> RequestExamined:
    verdict = Verdict(rows_min=1) if request.score is not None else Verdict()
    if not approved:
        policy = read_policy(services.policy)
        verdict = judge(policy, _asked(services, request, model))
        if verdict.code and policy.uncovered == "ask":
            return RequestExamined(undecided=True, detail=f"{verdict.code}: {verdict.reason}")
        if verdict.code:
            raise Unfit(verdict.code, f"{services.me} refuses: {verdict.reason}")
    if request.score is not None and model is None:
        raise Unfit("unknown-model", f"{services.me} has no weights of such a model with this renter")
    program = None if request.algorithm is not None or model is not None else _program(request)
    _require_key(request)
    dataset = services.datasets.get(request.dataset)
    if dataset is None:
        raise Unfit("unknown-dataset", f"{services.me} has no dataset of this name for anybody")
    encoding, table = _table(services, request, _Taken(program, model, verdict.rows_min), dataset)
    outputs = 1 if model is not None else len(table.columns) if program is None else program.width_out
    return RequestExamined(
        columns=table.columns,
        texts=() if encoding is None else encoding.texts,
        omitted=() if encoding is None else encoding.omitted,
        outputs=outputs,
        rows=table.rows,
        rows_min=verdict.rows_min,
    )


def _require_ids(table: Table) -> None:
    """Raises Unfit; how many there are, are empty or repeated is for this side's own journal."""
    try:
        if table.rows > IDS_PER_ALIGNMENT_MAX:
            raise BadData(f"{table.rows:,} ids; at most {IDS_PER_ALIGNMENT_MAX:,} can be matched with a renter's")
        require_ids(table.all_ids())
    except BadData as error:
        raise Unfit("dataset-unfit", "the dataset's ids cannot be matched", str(error)) from error


def _asked(services: Services, request: JointRequested, model: Part | None) -> Asked:
    algorithm = request.algorithm if model is None else model.algorithm
    return Asked(
        renter=request.introduction.renter,
        dataset=request.dataset,
        columns=request.columns if model is None else model.encoding.taken,
        program="" if request.algorithm or request.score else hashlib.sha256(request.program).hexdigest(),
        algorithm="" if algorithm is None else algorithm.name,
        per_row=request.score is not None,
        rows=request.rows,
        rounds=request.rounds,
        alignment="digest" if request.ids else "psi",
        now=services.clock(),
    )


def _program(request: JointRequested) -> Program:
    try:
        program = check(request.program, engine=False)
        require_inputs(program, (RECEIVED, LOCAL), (), "a partner's program")
        if width_of(program, RECEIVED) != request.received:
            raise BadProgram(f"it does not take {request.received} received values per row")
        affine(program)
    except BadProgram as error:
        raise Unfit("bad-program", f"the partner's program cannot be run on ciphertext: {error}") from error
    if not program.sum_rows:
        raise Unfit("per-row-output", "the program gives a result per row; only sums over rows leave a partner")
    return program


def _require_key(request: JointRequested) -> None:
    try:
        public = PaillierPublic.from_bytes(request.public_key)
    except (BadInput, VerificationFailed) as error:
        raise Unfit("bad-key", f"the renter's public key cannot be used: {error}") from error
    try:
        modulus.require_good(public.n, request.modulus_proof, modulus.context(request.job, request.introduction.renter))
    except VerificationFailed as error:
        raise Unfit(error.code, str(error)) from error


@dataclass(frozen=True, slots=True)
class _Taken:
    """What takes columns of a dataset: a program, an earlier job's model, or neither where a model is fitted."""

    program: Program | None
    model: Part | None
    rows_min: int

    def lay_down(self, folder: PartFolder, source: Source, reading: Reading) -> tuple[Encoding | None, Table]:
        """Make the table; raises BadInput."""
        if self.program is not None:
            names = without(self.program, RECEIVED)
            binding = bind(names, source.header, reading.id_column, reading.columns)
            return None, lay_down(folder.table, source, binding, reading)
        encoding = columns_of(source, reading, self.rows_min) if self.model is None else self.model.encoding
        write_encoding(folder.encoding, encoding)
        return encoding, laid_down(encoding, folder.table, source, reading)


def _table(
    services: Services, request: JointRequested, taken: _Taken, dataset: Dataset
) -> tuple[Encoding | None, Table]:
    """The table that the program takes, of the very rows that the renter has."""
    folder = services.folder(request.job)
    shutil.rmtree(folder.path, ignore_errors=True)  # half made by a worker that was killed
    missing: Missing = dataset.reading.missing if request.algorithm is not None else "refuse"
    reading = Reading(dataset.reading.id_column, request.columns, dataset.reading.dialect, missing)
    try:
        folder.path.mkdir(mode=FOLDER_MODE, parents=True)
        encoding, table = taken.lay_down(folder, open_source(dataset.data, reading.dialect), reading)
    except BadInput as error:
        raise Unfit("dataset-unfit", "the dataset's columns do not fit what is asked", str(error)) from error
    if request.ids is None:
        _require_ids(table)
    elif table.rows != request.rows or ids_digest(request.job, table.all_ids()) != request.ids:
        raise Unfit("not-aligned", "the ids of both sides are not the same in the same order")
    folder.digest.write_text(table.digest)
    return encoding, table
