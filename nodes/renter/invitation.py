"""From a user's wishes to the joint part of a job: programs that fit each other, and ids that can be compared (J1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from nodes.data.table import Table
from nodes.inputs import DONE, LOCAL, OUTPUT, PARAMETERS, RECEIVED, require_inputs, width_of, without
from nodes.joint.alignment import ids_digest, require_ids
from nodes.programs.check import check
from nodes.programs.compile import affine
from nodes.programs.program import Program
from nodes.protections import AUTO, SEALED
from schemas.errors import BadConfig, BadData, BadProgram
from schemas.joint import JOINT_PROGRAM_BYTES_MAX, PENALTIES_PER_ROW, AlgorithmName, Fitting, Joint, Outliers
from schemas.limits import IDS_PER_ALIGNMENT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a user wants of a partner; see `schemas.joint.Joint`."""

    partner: str
    dataset: str
    program: bytes = field(default=b"", repr=False)
    fitting: Fitting | None = None
    """A model instead of programs."""
    score: str | None = None
    """The job that fitted the model with which rows are scored instead."""
    label: str | None = None
    """Of rows that are scored: the column that says how good the scores are."""
    columns: tuple[str, ...] = ()
    rounds: int = 1
    update: bytes | None = field(default=None, repr=False)
    parameters: tuple[float, ...] = ()
    aligned: bool = False
    """Both sides have the same ids in the same order; else rows in common are found by private set intersection."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An invitation whose programs fit the lessors'; or one to fit a model, which has none."""

    invitation: Invitation
    program: Program | None
    update: Program | None

    @property
    def outputs(self) -> int:
        """Numbers that a round gives, as far as that is known."""
        return self.program.width_out if self.program is not None else int(self.invitation.score is not None)

    @property
    def files(self) -> tuple[bytes, ...]:
        """What the job's workers need of it."""
        return tuple(each.canonical for each in (self.program, self.update) if each is not None)

    def part(self, table: Table, job: str) -> Joint:
        """The joint part of the job; raises BadInput: an option is out of range, or ids do not name the rows."""
        wanted = self.invitation
        require_ids(table.all_ids())
        if not wanted.aligned and table.rows > IDS_PER_ALIGNMENT_MAX:
            raise BadData(f"{table.rows:,} ids; at most {IDS_PER_ALIGNMENT_MAX:,} can be matched with a partner's")
        fields = {
            "partner": wanted.partner,
            "dataset": wanted.dataset,
            "program": None if self.program is None else self.program.digest,
            "fitting": wanted.fitting,
            "score": wanted.score,
            "columns": wanted.columns,
            "outputs": self.outputs,
            "rounds": wanted.rounds,
            "update": None if self.update is None else self.update.digest,
            "parameters": wanted.parameters,
            "ids": ids_digest(job, table.all_ids()) if wanted.aligned else None,
        }
        try:
            return msgspec.convert(fields, Joint)
        except msgspec.ValidationError as error:
            raise BadConfig(f"an option of the joint part is out of range: {error}") from error


def fitting(
    name: AlgorithmName,
    label: str,
    *,
    penalty: float | None = None,
    bits: int | None = None,
    partner_bits: int | None = None,
    partner_coefficients: bool = True,
    outliers: Outliers = "refuse",
    key_bits: int = 3072,
) -> Fitting:
    """A model to fit, as `schemas.joint.Fitting` and `Algorithm` say; `penalty` is per row, by default the algorithm's.

    Raises:
        BadConfig: there is no such algorithm, or an option is out of range.
    """
    agreed = {
        "name": name,
        "penalty_per_row": PENALTIES_PER_ROW.get(name, 0.0) if penalty is None else penalty,
        "renter_bits": bits,
        "partner_bits": partner_bits,
        "partner_coefficients": partner_coefficients,
    }
    own = {"label": label, "outliers": outliers, "key_bits": key_bits}
    try:
        return msgspec.convert({"algorithm": agreed, **own}, Fitting)
    except msgspec.ValidationError as error:
        raise BadConfig(f"an option of --algorithm is out of range: {error}", field="algorithm") from error


def checked(wanted: Invitation, lessors: Program, *, protection: str, id_column: str | None) -> Checked:
    """Hold what a user wants of a partner against the lessors' program.

    Raises:
        BadInput: naming the option or program that does not fit, and what to do.
    """
    if protection not in (AUTO, SEALED.name):
        raise BadConfig(f"a job with a partner needs --protection {SEALED.name}, not {protection}", field="protection")
    if id_column is None:
        raise BadConfig("rows of both sides are found by their ids: name them by --id-column", field="id_column")
    if wanted.fitting is not None or wanted.score is not None:
        _require_model_alone(wanted)
        return Checked(wanted, None, None)
    if lessors.sum_rows:
        raise BadProgram("the lessors' program gives the partner a result per row: leave the sum to the partner's")
    program = partner_program(wanted.program, lessors.width_out)
    update = None if wanted.update is None else check(wanted.update)
    _require_rounds(wanted, update, width_of(lessors, PARAMETERS), program.width_out)
    return Checked(wanted, program, update)


def partner_program(raw: bytes, received: int) -> Program:
    """A partner's program that takes so many received values per row, and can run on ciphertext.

    Raises:
        BadProgram: it is not one.
    """
    if len(raw) > JOINT_PROGRAM_BYTES_MAX:
        raise BadProgram(f"the partner's program has {len(raw):,} bytes; at most {JOINT_PROGRAM_BYTES_MAX:,}")
    program = check(raw)
    require_inputs(program, (RECEIVED, LOCAL), (), "a partner's program")
    if width_of(program, RECEIVED) != received:
        raise BadProgram(
            f"the partner's program takes {width_of(program, RECEIVED)} received values per row, the lessors' gives "
            f"{received}"
        )
    affine(program)
    return program


def bound(lessors: Program) -> Program:
    """What of the lessors' program takes columns of the data."""
    return without(lessors, PARAMETERS)


def _require_model_alone(wanted: Invitation) -> None:
    if wanted.label is not None and wanted.score is None:
        raise BadConfig("a label beside --algorithm is of rows that are scored: give --score", field="label")
    if wanted.fitting is not None and wanted.score is not None:
        raise BadConfig("a job fits a model or scores with one: give --algorithm or --score", field="score")
    if wanted.program or wanted.update is not None or wanted.parameters or wanted.rounds != 1:
        raise BadConfig("a model takes no partner's program, update program, parameters or rounds", field="algorithm")


def _require_rounds(wanted: Invitation, update: Program | None, parameters: int, outputs: int) -> None:
    given = len(wanted.parameters)
    if given not in (0, parameters):
        raise BadConfig(f"--parameters gives {given} numbers, the lessors' program takes {parameters}", field="rounds")
    if wanted.rounds == 1:
        return
    if update is None or not parameters:
        raise BadConfig(
            f"{wanted.rounds} rounds need an update program (--update), and a lessors' program with an input "
            f"{PARAMETERS!r}",
            field="rounds",
        )
    require_inputs(update, (OUTPUT,), (PARAMETERS,), "an update program")
    made = sum(name != DONE for name in update.output_names)
    taken = width_of(update, PARAMETERS)
    if width_of(update, OUTPUT) != outputs or made != parameters or taken not in (0, parameters):
        raise BadProgram(
            f"the update program must make {parameters} parameters of {outputs} outputs; it makes {made} of "
            f"{width_of(update, OUTPUT)}, and takes {taken} before"
        )
