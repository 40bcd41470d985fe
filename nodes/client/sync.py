"""The sync face: what `AsyncNetwork` and `AsyncJob` do, in plain calls. Their work runs in a thread of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from nodes.client.job import AsyncJob, Cost, Explanation
from nodes.client.loop import CLOSE_SECONDS_MAX, Loop, at_exit
from nodes.client.network import AsyncNetwork, Opening
from nodes.client.wishes import FitWishes, Wishes
from nodes.quotes.quote import Quote
from nodes.views.jobs import JobReport
from nodes.views.models import FitReport

T = TypeVar("T")


class Network:
    """An open network. Close it, or use it in `with`; when the process ends it is closed too."""

    def __init__(self, opening: Opening) -> None:
        """Made by `sublet.connect` and `sublet.local`."""
        self._loop = Loop()
        try:
            self._core: AsyncNetwork = self._loop.run(_awaited(opening))
        except BaseException:
            self._loop.close()
            raise
        self._at_exit = ExitStack()
        self._at_exit.callback(self.close)
        at_exit(self._at_exit.close)

    def quote(self, data: object, model: object, **wishes: Unpack[Wishes]) -> Quote:
        """What a job would take under each protection, or why not. Nothing is sent, and nothing is left behind.

        Arguments and errors are those of `submit`.
        """
        return self._loop.run(self._core.quote(data, model, **wishes))

    @overload
    def submit(self, data: str | os.PathLike[str], model: object, **wishes: Unpack[Wishes]) -> Job[Any]: ...
    @overload
    def submit(self, data: T, model: object, **wishes: Unpack[Wishes]) -> Job[T]: ...
    def submit(self, data: object, model: object, **wishes: Unpack[Wishes]) -> Job[Any]:
        """Submit a job: `model` is computed on every row of `data`, by lessors that do not see it.

        Args:
            data: a DataFrame of pandas or polars, an Arrow table, a DuckDB relation, anything with the Arrow PyCapsule
                interface, or a path to CSV, Parquet or Arrow.
            model: a scikit-learn estimator, an ONNX model, its bytes or path, `sublet.linear(…)`, `sublet.sum(…)`.
            wishes: see `help(sublet.Wishes)`.

        Raises:
            BadInput: data, model or wishes cannot be used; says what to do.
            PolicyRefused: this renter's own policy forbids it.
            BrokerUnreachable: no connection to the broker.

        Example:
            >>> job = net.submit(df, estimator, id="patient", accept=["software-enclave"])
            >>> scores = job.result(timeout=600)
        """
        return Job(self._loop, self._loop.run(self._core.submit(data, model, **wishes)))

    def fit_joint(
        self, data: object, label: str, *, partner: str, dataset: str, **wishes: Unpack[FitWishes]
    ) -> Job[Any]:
        """Fit a model of `data` and of a partner's columns of the same rows; neither side sees the other's.

        `result()` is a table of `name` and `weight`: those of the columns here, and the intercept. `fit` says how good
        the model is, what is approximate, and of how many rows; `report().joint` what each side learned.

        Args:
            data: as of `submit`.
            label: the column of `data` that is modelled; 0 or 1 if logistic.
            partner: its address, such as "C11.C12".
            dataset: its table, as it calls it.
            wishes: see `help(sublet.FitWishes)`; `id` names the column by which rows in common are found.

        Raises:
            BadInput: data, label or wishes cannot be used; says what to do.
            PolicyRefused: this renter's own policy forbids it.
            BrokerUnreachable: no connection to the broker.

        Example:
            >>> job = net.fit_joint(df, "malignant", partner="C11.C12", dataset="claims", id="patient")
            >>> weights, auc = job.result(), job.fit.auc
        """
        fitted = self._core.fit_joint(data, label, partner=partner, dataset=dataset, **wishes)
        return Job(self._loop, self._loop.run(fitted))

    def job(self, job_id: str, *, like: object = None) -> Job[Any]:
        """A job that was submitted before, in this process or another.

        Args:
            job_id: as `job.id` said.
            like: the table that was submitted, if it is at hand: results come back like it. Without it they are a
                DataFrame of pandas where pandas is imported, else of polars where that is, else a `pyarrow.Table`.

        Raises:
            UnknownJob: there is none.
            BadData: `like` is no table, or has no column that the job's ids came from.
        """
        return Job(self._loop, self._loop.run(self._core.job(job_id, like=like)))

    def jobs(self) -> list[Job[Any]]:
        """All jobs of this renter, oldest first."""
        return [Job(self._loop, each) for each in self._loop.run(self._core.jobs())]

    def close(self) -> None:
        """End what was started here. Jobs of a running network go on; a local network ends with its jobs."""
        self._at_exit.pop_all()  # nothing is left to do then
        if not self._loop.closed:
            try:
                self._loop.run(self._core.close(), timeout=CLOSE_SECONDS_MAX)
            finally:
                self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        """How good the model is, of a completed `fit_joint`."""
        return self._loop.run(self._core.fit())

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


async def _awaited(opening: Opening) -> AsyncNetwork:
    return await opening


async def _followed(core: AsyncJob[Any], show: Callable[[], None]) -> None:
    async for _ in core.watch():
        show()
