"""What `sublet run --joint` gives back: weights, outputs or scores, both sides' account of them, and the comparison."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nodes.cli import show
from nodes.cli.alone import say
from nodes.cli.console import Output, table
from nodes.cli.files import write_result
from nodes.cli.pooled import AgainstPooled
from nodes.cli.replayed import ERROR_MAX, Replayed
from nodes.cli.tables import Table
from nodes.cli.together import Ended, JointRequest
from nodes.data.making import write_table
from nodes.data.manifest import Column
from nodes.data.port import Block
from schemas.errors import VerificationFailed

INTERCEPT: Final = "intercept"


def weights(ended: Ended, request: JointRequest) -> Iterator[tuple[str, str, float]]:
    """Column, file and weight; the constant belongs to no file."""
    if ended.report.output is None or ended.report.joint is None or ended.report.joint.fit is None:
        return
    assert ended.part is not None
    *mine, (_, constant) = ended.mine.items()
    yield from ((name, request.inputs.data.name, weight) for name, weight in mine)
    yield from ((name, request.other.name, weight) for name, weight in ended.part.weights.items())
    yield INTERCEPT, "", constant + ended.part.offset


def compared_line(against: AgainstPooled | Replayed) -> str:
    """A comparison in words."""
    if isinstance(against, Replayed):
        return (
            f"outputs of {len(against.found)} rounds differ from plaintext by {against.error:.1e} of the terms that "
            f"they are added up from, {ERROR_MAX:.0e} allowed"
        )
    return (
        f"scores differ from those of a model of all columns in one place by {against.scores_error:.1e} of their "
        f"spread, weights by {against.weights_error:.1e} of the largest; {against.figure} here alone "
        f"{against.alone:.4f}, joint {against.joint:.4f}, all columns in one place {against.pooled:.4f}"
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was asked and what became of it."""

    request: JointRequest
    ended: Ended
    scored: Ended | None
    """The job that scored rows with the model, where that was asked and there is a model."""
    against: AgainstPooled | Replayed | None

    def deliver(self, output: Output) -> int:
        """Write and say all there is; the exit code. Raises VerificationFailed: it is not what plaintext gives."""
        request, last, against = self.request, self._last, self.against
        with tempfile.TemporaryDirectory(prefix="sublet-out-") as folder:
            found = self._weights if self.scored is None else []
            result = _table(found, Path(folder) / "weights") if found else last.report.output
            if result is not None and request.out is not None:
                write_result(result, request.out)
            output.result(self._value())
            say(self._lines(), request.out if result is not None else None, output)
            if result is not None and request.out is None and not output.as_json:
                write_result(result, None)
        show.say_why(output, last.report, said=[f"{self._other}: {each}" for each in last.said])
        if against is not None and not against.good:
            code = "different-from-pooled" if isinstance(against, AgainstPooled) else "different-from-plaintext"
            raise VerificationFailed(compared_line(against), code=code)
        return show.exit_code(last.report)

    @property
    def _last(self) -> Ended:
        return self.scored or self.ended

    @property
    def _other(self) -> str:
        """The file of the other party that the last job was about."""
        scoring = self.request.scoring
        return (self.request.other if self.scored is None or scoring is None else scoring.other).name

    @property
    def _weights(self) -> list[tuple[str, str, float]]:
        return list(weights(self.ended, self.request))

    def _value(self) -> dict[str, Any]:
        pooled = self.against if isinstance(self.against, AgainstPooled) else None
        error = self.against.error if isinstance(self.against, Replayed) else None
        return show.as_value(self.ended.report) | {
            "output": self.request.out if self._last.report.output is not None else None,
            "weights": [{"column": name, "file": file, "weight": weight} for name, file, weight in self._weights],
            "pooled": pooled,
            "error": error,
            "scored": None if self.scored is None else show.as_value(self.scored.report),
            "partner_said": self._last.said,
            "partner_omitted": () if self.ended.part is None else self.ended.part.omitted,
        }

    def _lines(self) -> list[str | Table]:
        request, lines = self.request, show.job_lines(self.ended.report)
        if self.ended.part is not None and self.ended.part.omitted:
            lines += [f"{request.other.name}:", *show.omitted_lines(self.ended.part.omitted)]
        if self.against is not None:
            lines.append(f"check       {compared_line(self.against)}")
        if self.scored is not None:
            lines += [_weights_table(self._weights), *show.job_lines(self.scored.report, brief=True)]
        if request.out is not None and self._last.report.output is not None:
            lines.append(f"output      {request.out}")
        return lines


def _weights_table(found: list[tuple[str, str, float]]) -> Table:
    made = table("Weights", "column", "file", "#weight")
    for name, file, weight in found:
        made.add_row(name, file, f"{weight:.6g}")
    return made


def _table(found: list[tuple[str, str, float]], folder: Path) -> Path:
    names, files, values = zip(*found, strict=True)
    columns = (Column("column", "text"), Column("file", "text"), Column("weight"))
    write_table(folder, columns, [Block(np.array(values)[:, None], (list(names), list(files)))], id_column="column")
    return folder
