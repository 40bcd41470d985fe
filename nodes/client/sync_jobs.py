"""The sync face of jobs: what `AsyncJob` and `AsyncJointModel` do, in plain calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar, Unpack, overload

from nodes.client.job import AsyncJob, Cost, Explanation, Ledger
from nodes.client.loop import Loop
from nodes.client.models import AsyncJointModel
from nodes.client.wishes import ScoreWishes
from nodes.views.models import FitReport
from nodes.views.parts import PartReport
from nodes.views.report import JobReport

T = TypeVar("T")


class Job(Generic[T]):
    """A job. It goes on whether or not anybody waits for it; in a notebook it shows how far it is."""

    def __init__(self, loop: Loop, core: AsyncJob[T]) -> None:
        """Made by `Network.submit` and `.job`."""
        self._loop, self._core = loop, core

    @property
    def id(self) -> str:
        """By which `Network.job` finds it again."""
        return self._core.id

    @property
    def status(self) -> str:
        """submitted, preparing, ordering, running, assembling, completed or failed."""
        return self._loop.run(self._core.status())

    @property
    def cost(self) -> Cost:
        """What it has taken so far."""
        return self._loop.run(self._core.cost())

    @property
    def fit(self) -> FitReport | None:
        """How good the model is, of a completed `fit_joint`, or of one that rows with labels were scored with."""
        return self._loop.run(self._core.fit())

    @property
    def ledger(self) -> Ledger:
        """What each party has learned so far, of a job with a partner."""
        return self._loop.run(self._core.ledger())

    def report(self) -> JobReport:
        """All that is known of the job."""
        return self._loop.run(self._core.report())

    def done(self) -> bool:
        """Whether it has ended, with a result or without."""
        return self._loop.run(self._core.done())

    def result(self, timeout: float | None = None) -> T:
        """Wait for the results: the same kind of table as was submitted, in its order.

        Of pandas they have the index that was submitted, unless a column names the rows. Of paths and what has no kind
        of its own they are a `pyarrow.Table`. Interrupting the wait leaves the job as it is.

        Args:
            timeout: seconds to wait at most; by default as long as it takes.

        Raises:
            TimeoutError: it takes longer. The job goes on.
            SubletError: the job failed; of the class that says whose fault it was, and with its `code`.
            BadConfig: `timeout` is no number from 0.
        """
        return self._loop.run(self._core.result(timeout))

    def cancel(self) -> None:
        """Ask the renter to take the job back; soon after it has failed, with the code `cancelled`.

        Raises:
            BrokerUnreachable: nobody can be asked.
        """
        self._loop.run(self._core.cancel())

    def explain(self) -> Explanation:
        """What happened in the job, with the cause and the numbers of every decision."""
        return self._loop.run(self._core.explain())

    def __repr__(self) -> str:
        return repr(self._core)

    def _repr_html_(self) -> str:
        return self._core._repr_html_()

    def _ipython_display_(self) -> None:
        """Shown now, and again at every change until the job has ended."""
        display: Any = sys.modules["IPython.display"]
        handle = display.display(display.HTML(self._repr_html_()), display_id=True)
        if handle is not None and not self._core.known.ended:
            self._loop.start(_followed(self._core, lambda: handle.update(display.HTML(self._repr_html_()))))


class JointModel(Job[Any]):
    """A job that fits a model. `predict` and `score` are jobs of their own: the partner's part is needed for them."""

    _core: AsyncJointModel

    def __init__(self, loop: Loop, core: AsyncJointModel) -> None:
        """Made by `Network.fit_joint` and `.model`."""
        super().__init__(loop, core)

    @property
    def fit(self) -> FitReport:
        """How good the model is, what is approximate, and of how many rows, once the job has ended.

        Raises:
            SubletError: the job failed; of the class that says whose fault it was, and with its `code`.
        """
        return self._loop.run(self._core.fit())

    @property
    def coefficients(self) -> dict[str, float]:
        """The weights of the columns here, by name, once the job has ended; a column of text has one per category.

        Raises as `fit`.
        """
        return self._loop.run(self._core.coefficients())

    @property
    def intercept(self) -> float:
        """The constant of the part here, once the job has ended; the partner's part has one of its own.

        Raises as `fit`.
        """
        return self._loop.run(self._core.intercept())

    @property
    def at_partner(self) -> PartReport:
        """What the partner has of it, its own `weights` and `ledger` too; of a network in this process only.

        Raises:
            BadConfig: the partner is elsewhere; there `sublet joint show` tells it.
            UnknownJob: it was never asked.
        """
        return self._loop.run(self._core.at_partner())

    @overload
    def predict(
        self, data: str | os.PathLike[str], *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]
    ) -> Any: ...
    @overload
    def predict(self, data: T, *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]) -> T: ...
    def predict(self, data: object, *, timeout: float | None = None, **wishes: Unpack[ScoreWishes]) -> Any:
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

        Example:
            >>> scores = model.predict(new)  # columns patient, score, probability
        """
        return self._loop.run(self._core.predict(data, timeout=timeout, **wishes))

    def score(
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

        Example:
            >>> model.score(held_out).auc
        """
        return self._loop.run(self._core.score(data, label, timeout=timeout, **wishes))


async def _followed(core: AsyncJob[Any], show: Callable[[], None]) -> None:
    async for _ in core.watch():
        show()
