"""A job, awaited: what became of it, and its results. `nodes/client/sync.py` says the same in plain calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Generic, SupportsFloat, TypeVar

from nodes.client import showing
from nodes.client.errors import failure, unfit
from nodes.client.frames import Shape, made
from nodes.client.places import Place
from nodes.client.results import read_output
from nodes.views import jobs, journal
from nodes.views.errors import UnknownJob
from nodes.views.explanation import explanation
from nodes.views.models import FitReport
from nodes.views.report import JobReport, Rental
from schemas.jobs import Costs
from schemas.joint import Learned
from schemas.money import MICROS, cost_micros

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a job has taken so far."""

    price: float
    """In the network's currency: what its contracts charge for the time that its lessors worked."""
    predicted: Costs | None
    """Core-seconds and bytes that were expected; None before the job was assessed."""
    spent: Costs | None
    """What it was instead; None before any result."""


class Explanation(tuple[str, ...]):
    """What happened in a job, line by line: each event, with the cause and the numbers of every decision."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(self)

    __repr__ = __str__


class Ledger(tuple[Learned, ...]):
    """What each party of a joint job learned: lines with `party`, `kind`, `count` and `shape`, and what `noise` lies on
    it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(showing.ledger(self))

    __repr__ = __str__


class AsyncJob(Generic[T]):
    """A job of `sublet.aconnect` or `sublet.alocal`. It goes on whether or not anybody waits for it."""

    def __init__(self, place: Place, job_id: str, like: Shape, known: JobReport | None = None) -> None:
        """Made by `AsyncNetwork.submit` and `.job`."""
        self.id: Final = job_id
        self.known = known or JobReport(id=job_id, phase="submitted")
        """As it was seen last."""
        self._place, self._like = place, like

    async def report(self) -> JobReport:
        """All that is known of the job.

        Raises:
            UnknownJob: there is no such job.
        """
        place = self._place
        found = await jobs.report_when_taken(place.store, self.id, place.jobs, place.network)
        self.known = found or self.known
        return self.known

    async def status(self) -> str:
        """submitted, preparing, ordering, running, assembling, completed or failed."""
        return (await self.report()).phase

    async def fit(self) -> FitReport | None:
        """How good the model is, of a completed `fit_joint`, or of one that rows with labels were scored with."""
        joint = (await self.report()).joint
        return None if joint is None else joint.fit

    async def ledger(self) -> Ledger:
        """What each party has learned so far, of a job with a partner."""
        joint = (await self.report()).joint
        return Ledger(() if joint is None else joint.ledger)

    async def done(self) -> bool:
        """Whether it has ended, with a result or without."""
        return (await self.report()).ended

    async def watch(self) -> AsyncIterator[JobReport]:
        """The job's report at every change, until it has ended."""
        async for report in self._place.watch(self.id):
            self.known = report
            yield report

    async def result(self, timeout: float | None = None) -> T:
        """Wait for the results: the same kind of table as was submitted, in its order.

        Args:
            timeout: seconds to wait at most; by default as long as it takes.

        Raises:
            TimeoutError: it takes longer. The job goes on.
            SubletError: the job failed; of the class that says whose fault it was, and with its `code`.
            BadConfig: `timeout` is no number from 0.
        """
        return await asyncio.to_thread(self._read, await self._complete(timeout))

    async def cancel(self) -> None:
        """Ask the renter to take the job back; soon after it has failed, with the code `cancelled`.

        Raises:
            BrokerUnreachable: nobody can be asked.
        """
        await self._place.cancel(self.id)

    async def explain(self) -> Explanation:
        """What happened in the job, with the cause and the numbers of every decision."""
        try:
            return Explanation(explanation(await journal.explain(self._place.store, self.id)))
        except UnknownJob:
            await self.report()
            return Explanation(["no worker of the renter has taken it yet"])

    async def cost(self) -> Cost:
        """What it has taken so far."""
        now = await self.report()
        micros = sum(_cost(each) for each in now.contracts)
        predicted = None if now.assessment is None else now.assessment.costs
        return Cost(price=micros / MICROS, predicted=predicted, spent=now.spent)

    async def _complete(self, timeout: float | None = None) -> JobReport:
        """The report of the job when it is completed; raises as `result`."""
        _require_seconds(timeout)
        try:
            async with asyncio.timeout(timeout) as wait:
                async for _ in self.watch():
                    pass
        except TimeoutError:
            if not wait.expired():
                raise
            if not await self.done():
                raise TimeoutError(f"{self.id} is {self.known.phase} after {timeout:g} s; it goes on") from None
        if self.known.output is None:
            raise failure(self.known, await self._place.said(self.id))
        return self.known

    def _read(self, report: JobReport) -> T:
        assert report.output is not None
        with_ids = report.id_column is not None and not report.sum_rows
        results = read_output(report.output, numbered=not with_ids and not report.sum_rows)
        like = Shape(self._like.library) if report.sum_rows else self._like
        found: Any = made(results, like, with_ids=with_ids)
        return found  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return showing.line(self.known)

    def _repr_html_(self) -> str:
        return showing.html(self.known)


def _cost(rental: Rental) -> int:
    """As its receipt says, or for the time so far."""
    return rental.cost_micros or cost_micros(rental.price_micros, rental.units, rental.seconds)


def _require_seconds(timeout: Any) -> None:
    """Raises BadConfig."""
    if timeout is not None and (
        isinstance(timeout, bool) or not isinstance(timeout, SupportsFloat) or not float(timeout) >= 0
    ):
        raise unfit("timeout", timeout, "a number of seconds from 0")
