"""The user's files: data stays where it is, programs are read or made from a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nodes.cli.external import inlined
from nodes.programs.build import aggregate_sum, linear_from_csv
from schemas.errors import BadConfig, BadProgram
from schemas.limits import PROGRAM_BYTES_MAX

_SUM: Final = "sum:"


@dataclass(frozen=True, slots=True)
class Inputs:
    """A job's files."""

    data: Path
    program: bytes = field(repr=False)
    local_program: bytes | None = field(default=None, repr=False)


def read_inputs(
    data: Path, program: Path | None, linear: Path | None, aggregate: str | None, local_program: Path | None
) -> Inputs:
    """The inputs that the options name.

    Raises:
        BadInput: none or several programs are named, or one cannot be read.
    """
    if sum(each is not None for each in (program, linear, aggregate)) != 1:
        raise BadConfig("say what to compute: one of --program, --linear and --aggregate", field="program")
    local = None if local_program is None else read_program(local_program)
    if linear is not None:
        return Inputs(data, linear_from_csv(_text(linear)), local)
    if aggregate is not None:
        return Inputs(data, _aggregate(aggregate), local)
    assert program is not None
    return Inputs(data, read_program(program), local)


def read_program(path: Path) -> bytes:
    """A program's bytes.

    Raises:
        BadProgram: it cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(PROGRAM_BYTES_MAX + 1)
    except OSError as error:
        raise BadProgram(f"cannot read the program {path}: {error.strerror or error}") from error
    if len(raw) > PROGRAM_BYTES_MAX:
        raise BadProgram(
            f"{path.name} is larger than {PROGRAM_BYTES_MAX:,} bytes, the most that a program may have; limit a forest "
            "by max_depth, max_leaf_nodes or fewer trees"
        )
    return inlined(raw, path.parent, PROGRAM_BYTES_MAX)


def _text(path: Path) -> str:
    try:
        return read_program(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadProgram(f"{path.name} is not UTF-8 text") from error


def _aggregate(wanted: str) -> bytes:
    if not wanted.startswith(_SUM):
        raise BadProgram(f"there is no aggregate {wanted!r}: write sum:COLUMN")
    return aggregate_sum(wanted.removeprefix(_SUM))
