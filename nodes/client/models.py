"""A model of two parties' columns, awaited. `nodes/client/sync_jobs.py` says the same in plain calls."""

from __future__ import annotations

import asyncio
import os
from typing import Any, TypeVar, Unpack, overload

from nodes.client.errors import told_in_python
from nodes.client.job import AsyncJob
from nodes.client.order import score_order
from nodes.client.results import read_output
from nodes.client.wishes import Model, ScoreWishes
from nodes.views.models import FitReport
from nodes.views.parts import PartReport

T = TypeVar("T")


class AsyncJointModel(AsyncJob[Any]):
    """A job that fits a model. `predict` and `score` are jobs of their own: the partner's part is needed for them."""

    async def fit(self) -> FitReport:
        """How good the model is, what is approximate, and of how many rows, once the job has ended.

        Raises:
            SubletError: the job failed; of the class that says whose fault it was, and with its `code`.
        """
        await self._complete()
        return await _fit_of(self)

    async def coefficients(self) -> dict[str, float]:
        """The weights of the columns here, by name, once the job has ended; a column of text has one per category.

        Raises as `fit`.
        """
        return dict((await self._weights())[:-1])

    async def intercept(self) -> float:
        """The constant of the part here, once the job has ended; the partner's part has one of its own.

        Raises as `fit`.
        """
        return (await self._weights())[-1][1]

    async def at_partner(self) -> PartReport:
        """What the partner has of it, its own weights and ledger too; of a network in this process only.

        Raises:
            BadConfig: the partner is elsewhere; there `sublet joint show` tells it.
            UnknownJob: it was never asked.
        """
        return await self._place.part(self.id)

    @overload
    async def predict(
        self, data: str | os.PathLike[str], *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]
    ) -> Any: ...
    @overload
    async def predict(self, data: T, *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]) -> T: ...
    async def predict(self, data: object, *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]) -> Any:
        """Score rows that the partner has too: the same kind of table, of these rows, in its order.

        Beside the ids stand `score`, the linear predictor, and of a logistic model the `probability` of 1, of a Poisson
        model the `mean`. Rows that the partner does not have are left out. The partner's policy has to allow results
        of single rows.

        Args:
            data: a table with the columns that the model was fitted to; others are left alone.
            timeout: seconds to wait for the scores at most; by default as long as it takes.
            wishes: see `help(sublet.ScoreWishes)`.

        Raises:
            TimeoutError: it takes longer. The job goes on.
            SubletError: fitting or scoring failed; of the class that says whose fault it was, and with its `code`.
        """
        return await (await self._scoring(data, None, wishes)).result(timeout)

    async def score(
        self,
        data: object,
        label: str | None = None,
        *,
        timeout: float | None = None,
        **wishes: Unpack[ScoreWishes],
    ) -> FitReport:
        """How good the model is on rows whose label is known: `auc` and `log_loss`, or `r2`, or `deviance`.

        Labels stay here. `scored` says how many rows both parties had.

        Args:
            data: as of `predict`.
            label: the column of `data` with the labels; by default the one that was fitted.
            timeout: as of `predict`.
            wishes: as of `predict`.

        Raises as `predict`.
        """
        fit = await self.fit()
        job = await self._scoring(data, fit.label if label is None else label, wishes)
        await job._complete(timeout)
        return await _fit_of(job)

    async def _weights(self) -> list[tuple[str, float]]:
        """By column, and last the intercept."""
        report = await self._complete()
        assert report.output is not None
        table = await asyncio.to_thread(read_output, report.output, numbered=False)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    async def _scoring(self, data: object, label: str | None, wishes: ScoreWishes) -> AsyncJob[Any]:
        report, place = await self._complete(), self._place
        assert report.joint is not None
        asked: ScoreWishes = {"id": report.id_column, "dataset": report.joint.dataset, **wishes}
        model = Model(self.id, report.joint.partner, label)
        ordered = await asyncio.to_thread(score_order, data, model, asked, own_lessors=place.own_lessors)
        with told_in_python():
            job = await place.submit(ordered)
        return AsyncJob(place, job, ordered.given.shape)


async def _fit_of(job: AsyncJob[Any]) -> FitReport:
    """Of a job that is completed."""
    found = await AsyncJob.fit(job)
    assert found is not None
    return found
