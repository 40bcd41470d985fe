"""The user's files: data stays where it is, or is copied out of a pipe; programs are read, or made of a few numbers."""

from __future__ import annotations

import atexit
import csv
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from nodes.model_files import read_program
from nodes.programs.build import aggregate_sum, linear_from_csv
from schemas.errors import BadConfig, BadData, BadProgram

STDIN: Final = "-"
COPY_BYTES: Final = 1 << 20
_SUM: Final = "sum:"


@dataclass(frozen=True, slots=True)
class Inputs:
    """A job's files."""

    data: Path
    program: bytes = field(repr=False)
    local_program: bytes | None = field(default=None, repr=False)


def read_inputs(
    data: Path,
    program: Path | None,
    linear: Path | None,
    aggregate: str | None,
    local_program: Path | None,
    *,
    fits: bool = False,
) -> Inputs:
    """The inputs that the options name.

    Raises:
        BadInput: none or several programs are named, or one cannot be read.
    """
    named = sum(each is not None for each in (program, linear, aggregate, local_program))
    if fits and named:
        raise BadConfig("--algorithm and --score need no program: leave its options out", field="program")
    if fits:
        return Inputs(_seekable(data), b"")
    if sum(each is not None for each in (program, linear, aggregate)) != 1:
        raise BadConfig("say what to compute: one of --program, --linear and --aggregate", field="program")
    data = _seekable(data)
    local = None if local_program is None else read_program(local_program)
    if linear is not None:
        return Inputs(data, linear_from_csv(_text(linear)), local)
    if aggregate is not None:
        return Inputs(data, _aggregate(aggregate), local)
    assert program is not None
    return Inputs(data, read_program(program), local)


def read_columns(wanted: str) -> tuple[str, ...]:
    """The names in `a,b,…`, or one per line of the file in `@FILE`.

    Raises:
        BadConfig: there are none, or the file cannot be read.
    """
    if not wanted.startswith("@"):
        names = next(csv.reader([wanted]), [])
    else:
        try:
            names = Path(wanted[1:]).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            raise BadConfig(f"cannot read the columns in {wanted[1:]}: {error}", field="columns") from error
    found = tuple(name.strip() for name in names if name.strip())
    if not found:
        raise BadConfig("--columns names none: write a,b,… or @FILE with a name per line", field="columns")
    return found


def read_numbers(wanted: str) -> tuple[float, ...]:
    """The numbers in `x,y,…`.

    Raises:
        BadConfig: one is none.
    """
    try:
        return tuple(float(each) for each in wanted.split(","))
    except ValueError as error:
        raise BadConfig(f"{wanted!r} are not numbers with commas between them", field="parameters") from error


def require_no_input(out: Path | None, inputs: Iterable[Path | None]) -> None:
    """That a result overwrites nothing it is made from, whatever its name.

    Raises:
        BadConfig: it would.
    """
    for each in inputs:
        if out is not None and each is not None and out.exists() and each.exists() and out.samefile(each):
            raise BadConfig(f"--out {out} is the input {each}: it would be overwritten; name another file", field="out")


def _seekable(data: Path) -> Path:
    """The data, or where a copy of it lies until this process ends: a pipe can be read only once.

    Raises:
        BadData: the pipe cannot be read.
    """
    if str(data) != STDIN and (data.is_file() or data.is_dir() or not data.exists()):
        return data
    name = "stdin" if str(data) == STDIN else data.name
    folder = Path(tempfile.mkdtemp(prefix="sublet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with open_pipe(data) as source, (folder / name).open("xb") as target:
            shutil.copyfileobj(source, target, COPY_BYTES)
    except OSError as error:
        raise BadData(f"cannot read {name}: {error.strerror or error}") from error
    return folder / name


def open_pipe(data: Path) -> BinaryIO:
    """Its bytes."""
    return sys.stdin.buffer if str(data) == STDIN else data.open("rb")


def _text(path: Path) -> str:
    try:
        return read_program(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadProgram(f"{path.name} is not UTF-8 text") from error


def _aggregate(wanted: str) -> bytes:
    if not wanted.startswith(_SUM):
        raise BadProgram(f"there is no aggregate {wanted!r}: write sum:COLUMN")
    return aggregate_sum(wanted.removeprefix(_SUM))
