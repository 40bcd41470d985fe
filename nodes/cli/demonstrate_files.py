"""The bundled data as a hospital and an insurer have it: some people only one of them knows, and programs for both."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from schemas.errors import BadConfig

ID_COLUMN: Final = "patient"
LABEL: Final = "malignant"
HOSPITAL: Final = "hospital.csv"
INSURER: Final = "insurer.csv"
PROGRAMS: Final = ("expected_here.onnx", "expected_both.onnx", "offset.onnx")
"""In the enclaves, at the insurer, and between rounds at the hospital."""
ONE_SIDED: Final = 20
"""Patients whom only the hospital knows, and as many whom only the insurer knows."""


def lay_down(folder: Path) -> Path:
    """Make the folder, and in it both parties' tables, each in an order of its own, and the programs.

    Raises:
        BadConfig: it is there already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise BadConfig(f"cannot make the folder {folder}: {error.strerror or error}", field="files") from error
    data = resources.files("nodes.demo")
    with (
        (data / "breast_cancer.csv").open(encoding="utf-8") as features,
        (data / "breast_cancer_labels.csv").open(encoding="utf-8") as labels,
    ):
        names, *rows = ([f"patient-{row[0]}", *row[1:], label[1]] for row, label in _pairs(features, labels))
    mine = [at for at, name in enumerate(names) if name.endswith("_error") or name == LABEL]
    theirs = [at for at in range(1, len(names)) if at not in mine]
    names[0] = ID_COLUMN
    _write(folder / HOSPITAL, [names, *rows[:-ONE_SIDED]], [0, *mine])
    _write(folder / INSURER, [names, *rows[: ONE_SIDED - 1 : -1]], [0, *theirs])
    for name in PROGRAMS:
        (folder / name).write_bytes((data / name).read_bytes())
    return folder


def _pairs(features: Iterable[str], labels: Iterable[str]) -> Iterator[tuple[list[str], list[str]]]:
    return zip(csv.reader(features), csv.reader(labels), strict=True)


def _write(path: Path, rows: Iterable[Sequence[str]], columns: Sequence[int]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([row[at] for at in columns] for row in rows)
