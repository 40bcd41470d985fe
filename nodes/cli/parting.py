"""Commands on a partner's parts in jobs: they print what views say, or decide at the desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from nodes.cli import show
from nodes.cli.console import Output, table
from nodes.cli.tables import Table
from nodes.config import NodeConfig
from nodes.views import journal, parts
from nodes.views.explanation import explanation, summary
from nodes.views.parts import PartReport
from nodes.views.source import open_store
from schemas.errors import BadConfig

if TYPE_CHECKING:
    from schemas.joint import Algorithm

DROPS: Final = ("rounds", "rows", "why", "dataset")
"""Of the list of requests, on narrow terminals."""
Decision = Literal["approved", "refused", "withdrawn"]
_FITS: Final[dict[Decision, str]] = {"approved": "waiting", "refused": "waiting", "withdrawn": "accepted"}
"""The phase in which each can be decided."""


@dataclass(frozen=True, slots=True)
class Parting:
    """A partner's node, and where output goes."""

    config: NodeConfig
    output: Output

    async def list_parts(self, *, limit: int) -> None:
        """Parts, newest first; at most `limit` of them, where that is not 0."""
        async with open_store(self.config) as store:
            found = await parts.parts(store)
        made = table("", "job", "renter", "state", "dataset", "#rows", "#rounds", "why", drops=DROPS)
        shown = found[: limit or None]
        for each in shown:
            rounds = f"{each.answered}/{each.rounds}"
            made.add_row(each.job, each.renter, each.phase, each.dataset, f"{each.rows:,}", rounds, each.code)
        self.output.text(made)
        self.output.more(len(found), limit)
        self.output.result(shown)

    async def show(self, wanted: str) -> None:
        """One part with its ledger."""
        async with open_store(self.config) as store:
            found = await parts.part(store, await parts.find(store, wanted))
        self.output.text(*_lines(found), *_weights(found), show.ledger_table(found.ledger))
        self.output.result(found)

    async def explain(self, wanted: str, *, verbose: bool) -> None:
        """The part's journal in words."""
        async with open_store(self.config) as store:
            lines = await journal.explain(store, await parts.find(store, wanted))
        self.output.text(*(explanation(lines) if verbose else summary(lines)))
        self.output.result(lines)

    async def decide(self, wanted: str, decision: Decision, reason: str) -> None:
        """Tell this partner's workers what a person decided.

        Raises:
            BadConfig: the part is not where this can be decided.
        """
        from nodes import desk  # noqa: PLC0415 - commands that only look start quicker

        async with open_store(self.config) as store:
            job = await parts.find(store, wanted)
            found = await parts.part(store, job)
        if found.phase != _FITS[decision]:
            raise BadConfig(f"{job} is {found.phase}: what is {_FITS[decision]} can be {decision}", field="job")
        await desk.decide(self.config, job, approved=decision == "approved", reason=reason)
        self.output.text(f"{job}: {decision}")
        self.output.result({"job": job, "state": decision})


def _lines(found: PartReport) -> list[str | Table]:
    lines: list[str | Table] = [
        f"job         {found.job}",
        f"state       {found.phase}" + (f": {found.code}" if found.code else ""),
        *([f"why         {found.reason}"] if found.reason else []),
        f"renter      {found.renter}",
        f"dataset     {found.dataset}: {', '.join(found.columns) or 'all columns'}",
        f"program     {found.program}" if found.algorithm is None else f"model       {model_line(found.algorithm)}",
        f"rows        {found.rows:,}, {found.received} values sealed of each, {found.outputs} sums given",
        f"rounds      {found.answered} of {found.rounds}",
    ]
    lines += show.omitted_lines(found.omitted)
    return lines + ([f"lessors     {', '.join(found.lessors)}"] if found.lessors else [])


def model_line(algorithm: Algorithm) -> str:
    """What both sides know of a model, for people."""
    withheld = "" if algorithm.partner_coefficients else ", the partner's weights withheld"
    return f"{algorithm.name}, penalty {algorithm.penalty_per_row:g} per row{withheld}"


def _weights(found: PartReport) -> list[Table]:
    if not found.weights:
        return []
    made = table("Weights of the own columns", "column", "#weight")
    for name, weight in found.weights.items():
        made.add_row(name, f"{weight:.6g}")
    return [made]
