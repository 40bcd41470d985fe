"""Programs in files: read within bounds, with the weights that exporters leave in a file beside the model put back."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto

from nodes.programs.fields import parsed
from schemas.errors import BadProgram
from schemas.limits import PROGRAM_BYTES_MAX


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


def inlined(model: bytes, folder: Path, bytes_max: int) -> bytes:
    """The model with the numbers of its initialisers inside; unchanged when none lies elsewhere, or it is no model.

    Raises BadProgram: a file is not in `folder`, cannot be read, or the whole would be larger than `bytes_max`.
    """
    if (read := parsed(model)) is None:
        return model
    outside = [tensor for tensor in read.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    room = bytes_max - len(model)
    for tensor in outside:
        tensor.raw_data = _read(tensor, folder, room)
        room -= len(tensor.raw_data)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return bytes(read.SerializeToString()) if outside else model


def _read(tensor: TensorProto, folder: Path, room: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = str(tensor.name)[:64]
    try:
        path = (folder / entries["location"]).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()):
            raise BadProgram(f"the weights of {name!r} lie outside of the model's folder; save the model as one file")
        if not path.is_file():  # opening a pipe would wait for its writer
            raise FileNotFoundError(path)
        with path.open("rb") as file:
            file.seek(int(entries.get("offset", "0")))
            wanted = int(entries.get("length", room + 1))
            raw = file.read(max(0, min(wanted, room + 1)))
    except (OSError, KeyError, ValueError) as error:
        raise BadProgram(
            f"the weights of {name!r} cannot be read from the file beside the model: keep both files together, or save "
            "the model as one file (torch.onnx.export: external_data=False)"
        ) from error
    if len(raw) > room:
        raise BadProgram("the model is too large with the weights in the file beside it")
    return bytes(raw)
