"""A program explained: what it takes and gives, what of it each protection would run, and why not; also if refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from onnx import ModelProto, TensorProto, ValueInfoProto

from nodes.data.binding import require_width
from nodes.homomorphic import schemes
from nodes.programs import encoder as encoders
from nodes.programs.encoder import TEXT, Encoder
from nodes.programs.fields import parsed
from nodes.programs.limits import ProgramLimits
from nodes.programs.program import Program
from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED
from nodes.renter.submission import note_of
from nodes.views.frameworks import Framework, frameworks_of
from schemas.errors import BadProgram
from schemas.jobs import CutNote
from schemas.limits import COLUMNS_MAX

ASKS_FOR_PRODUCTS: Final = "--scheme ckks --results-stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputView:
    """An input as the file declares it; what is free in a shape is a name."""

    name: str
    type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultView:
    """A column of the result. `texts` are those that a text column may hold."""

    name: str
    kind: Literal["number", "whole number", "text"]
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionView:
    """What would run under a protection."""

    protection: str
    runs: Literal["all", "beginning", "nothing"]
    degree: int = 0
    """Of the polynomials that ciphertexts compute; 1 for linear ones, 0 where nothing runs on ciphertext."""
    cut: CutNote | None = None
    needs: str = ""
    """Options without which it would not."""
    reason: str = ""
    """Why not all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramView:
    """A program. Of one that is refused, only what its file says; `columns` are empty where it names none."""

    producer: str = ""
    operator_sets: Mapping[str, int]
    operators: Mapping[str, int]
    """How often each stands there."""
    inputs: tuple[InputView, ...]
    columns: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()
    """Inputs of text: they become numbers here, and only these travel."""
    results: tuple[ResultView, ...] = ()
    sums_rows: bool = False
    sizes: Mapping[str, tuple[int, int]]
    """What is bounded: how much it is, and may be at most."""
    protections: tuple[ProtectionView, ...] = ()
    refused: str = ""
    operator: str | None = None
    """At which a refusal came up."""
    frameworks: tuple[Framework, ...] = ()
    """That may have written it."""


def explain(raw: bytes) -> ProgramView:
    """The program that `raw` (a serialised ONNX model) holds."""
    said = _said(raw)
    try:
        program, encoder = encoders.read(raw)
        require_width(program)
    except BadProgram as error:
        return _view(raw, said, None, None, BadProgram(str(error), operator=error.operator))
    return _view(raw, said, program, encoder, None)


def _said(raw: bytes) -> ModelProto:
    """The file as it is; empty where it is no model, or too large to be looked at."""
    model = parsed(raw) if len(raw) <= ProgramLimits().program_bytes_max else None
    return model or ModelProto()


def _view(
    raw: bytes, said: ModelProto, program: Program | None, encoder: Encoder | None, refused: BadProgram | None
) -> ProgramView:
    constants = {tensor.name for tensor in said.graph.initializer}
    takes = encoder or program
    return ProgramView(
        producer=f"{said.producer_name} {said.producer_version}".strip(),
        operator_sets={entry.domain or "ai.onnx": entry.version for entry in said.opset_import},
        operators=dict(sorted(Counter(str(node.op_type) for node in said.graph.node).items())),
        inputs=tuple(_input(info) for info in said.graph.input if info.name not in constants),
        columns=takes.named_columns if takes else (),
        encoded=tuple(each.name for each in encoder.inputs if each.dtype == TEXT) if encoder else (),
        results=_results(program) if program else (),
        sums_rows=program.sum_rows if program else False,
        sizes=_sizes(raw, said, program),
        protections=(_on_ciphertext(program), *map(_enclosed, (ENCLAVE.name, SEALED.name))) if program else (),
        refused="" if refused is None else str(refused),
        operator=None if refused is None else refused.operator,
        frameworks=frameworks_of(str(said.producer_name)) if len(said.graph.node) else (),
    )


def _input(info: ValueInfoProto) -> InputView:
    tensor = info.type.tensor_type
    kind = TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type else "unknown"
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else str(dim.dim_param or "?") for dim in tensor.shape.dim)
    return InputView(name=str(info.name), type=kind, shape=shape)


def _results(program: Program) -> tuple[ResultView, ...]:
    def view(column: int, name: str) -> ResultView:
        texts = program.whole.get(column)
        return ResultView(
            name=name, kind="number" if texts is None else "text" if texts else "whole number", texts=texts or ()
        )

    return tuple(view(column, name) for column, name in enumerate(program.output_names))


def _sizes(raw: bytes, said: ModelProto, program: Program | None) -> Mapping[str, tuple[int, int]]:
    limits = ProgramLimits()
    sizes = {"bytes": (len(raw), limits.program_bytes_max), "operators": (len(said.graph.node), limits.nodes_max)}
    if program is not None:
        sizes |= {
            "columns": (program.width_in, COLUMNS_MAX),
            "results": (program.width_out, COLUMNS_MAX),
            "numbers per row": (program.live_row_elements, limits.live_row_elements_max),
        }
    return sizes


def _enclosed(protection: str) -> ProtectionView:
    return ProtectionView(protection=protection, runs="all")


def _on_ciphertext(program: Program) -> ProtectionView:
    """All of it or its beginning: linear if that can be, else with products, for which the user has to ask."""
    try:
        return _computed(program, products=False)
    except BadProgram as error:
        try:
            return _computed(program, products=True)
        except BadProgram:
            return ProtectionView(protection=CIPHERTEXT.name, runs="nothing", reason=str(error))


def _computed(program: Program, *, products: bool) -> ProtectionView:
    cut = schemes.cut_for(program, products=products)
    mapped = schemes.runnable(cut.beginning if cut else program, products=products)
    return ProtectionView(
        protection=CIPHERTEXT.name,
        runs="beginning" if cut else "all",
        degree=mapped.degree,
        cut=note_of(cut) if cut else None,
        needs=ASKS_FOR_PRODUCTS if products else "",
        reason=_why(program) if cut else "",
    )


def _why(program: Program) -> str:
    try:
        schemes.runnable(program, products=False)
    except BadProgram as error:
        return f"{error.operator or 'what follows'} is not linear"
    return ""
