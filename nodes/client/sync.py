"""The sync face: what `AsyncNetwork` does, in plain calls. Its work runs in a thread of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from nodes.client.loop import CLOSE_SECONDS_MAX, Loop, at_exit
from nodes.client.network import AsyncNetwork, Opening
from nodes.client.sync_jobs import Job, JointModel
from nodes.client.wishes import FitWishes, Wishes
from nodes.quotes.quote import Quote

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
        self,
        data: object,
        label: str,
        *,
        partner: str | None = None,
        dataset: str | None = None,
        **wishes: Unpack[FitWishes],
    ) -> JointModel:
        """Fit a model of `data` and of a partner's columns of the same rows; neither side sees the other's.

        Of the model, `coefficients` are the weights of the columns here, `fit` says how good it is, what is approximate
        and of how many rows, and `ledger` what each side learned. `predict` and `score` take rows to score.

        Args:
            data: as of `submit`.
            label: the column of `data` that is modelled; 0 or 1 if logistic.
            partner: its address, such as "C11.C12"; by default the one of a network in this process.
            dataset: its table, as it calls it; by default the only one of a network in this process.
            wishes: see `help(sublet.FitWishes)`; `id` names the column by which rows in common are found.

        Raises:
            BadInput: data, label or wishes cannot be used; says what to do.
            PolicyRefused: this renter's own policy forbids it.
            BrokerUnreachable: no connection to the broker.

        Example:
            >>> model = net.fit_joint(df, "malignant", partner="C11.C12", dataset="claims", id="patient")
            >>> model.coefficients, model.fit.r2
            >>> scores = model.predict(new)
        """
        fitted = self._core.fit_joint(data, label, partner=partner, dataset=dataset, **wishes)
        return JointModel(self._loop, self._loop.run(fitted))

    def job(self, job_id: str, *, like: object = None) -> Job[Any]:
        """A job that was submitted before, in this process or another.

        Args:
            job_id: as `job.id` said.
            like: the table that was submitted, if it is at hand: results come back like it. Without it they are a
                DataFrame of pandas where pandas is imported, else of polars where that is, else a `pyarrow.Table`.
                Labels that are numbers, or true and false, are whole numbers then: only `submit` sees the estimator.

        Raises:
            UnknownJob: there is none.
            BadData: `like` is no table, or has no column that the job's ids came from.
        """
        return Job(self._loop, self._loop.run(self._core.job(job_id, like=like)))

    def model(self, job_id: str) -> JointModel:
        """A model that `fit_joint` began before, in this process or another.

        Raises:
            UnknownJob: there is no such job.
            BadConfig: it fits no model.
        """
        return JointModel(self._loop, self._loop.run(self._core.model(job_id)))

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


async def _awaited(opening: Opening) -> AsyncNetwork:
    return await opening
