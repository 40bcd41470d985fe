"""A network, awaited: jobs go in here. `nodes/client/sync.py` says the same in plain calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from nodes.client.errors import NetworkClosed, told_in_python, unfit
from nodes.client.frames import given, loaded
from nodes.client.job import AsyncJob
from nodes.client.models import AsyncJointModel
from nodes.client.order import Order, fit_order, order
from nodes.client.places import Place
from nodes.client.wishes import FitWishes, Wishes
from nodes.quotes.quote import Quote
from nodes.views import jobs
from schemas.errors import BadConfig

T = TypeVar("T")


class AsyncNetwork:
    """An open network. `async with` closes it at the end."""

    def __init__(self, place: Place) -> None:
        """Made by `sublet.aconnect` and `sublet.alocal`."""
        self._open: Place | None = place

    async def quote(self, data: object, model: object, **wishes: Unpack[Wishes]) -> Quote:
        """What a job would take under each protection, or why not. Nothing is sent, and nothing is left behind.

        Arguments and errors are those of `submit`.
        """
        ordered = await self._ordered(data, model, wishes)
        with told_in_python():
            return await self._place.quote(ordered)

    @overload
    async def submit(self, data: str | os.PathLike[str], model: object, **wishes: Unpack[Wishes]) -> AsyncJob[Any]: ...
    @overload
    async def submit(self, data: T, model: object, **wishes: Unpack[Wishes]) -> AsyncJob[T]: ...
    async def submit(self, data: object, model: object, **wishes: Unpack[Wishes]) -> AsyncJob[Any]:
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
        """
        ordered = await self._ordered(data, model, wishes)
        with told_in_python():
            job = await self._place.submit(ordered)
        return AsyncJob(self._place, job, ordered.given.shape)

    async def fit_joint(
        self,
        data: object,
        label: str,
        *,
        partner: str | None = None,
        dataset: str | None = None,
        **wishes: Unpack[FitWishes],
    ) -> AsyncJointModel:
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
        """
        own, whom = self._place.own_lessors, self._place.whom(partner, dataset)
        ordered = await asyncio.to_thread(fit_order, data, label, whom, wishes, own_lessors=own)
        with told_in_python():
            job = await self._place.submit(ordered)
        return AsyncJointModel(self._place, job, ordered.given.shape)

    async def job(self, job_id: str, *, like: object = None) -> AsyncJob[Any]:
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
        if not isinstance(job_id, str):
            raise unfit("job_id", job_id, "text, as job.id")
        found: AsyncJob[Any] = AsyncJob(self._place, job_id, loaded())
        with told_in_python():
            known = await found.report()
        return found if like is None else AsyncJob(self._place, job_id, given(like, known.id_column).shape, known)

    async def model(self, job_id: str) -> AsyncJointModel:
        """A model that `fit_joint` began before, in this process or another.

        Raises:
            UnknownJob: there is no such job.
            BadConfig: it fits no model.
        """
        found = await self.job(job_id)
        known = found.known.joint
        if known is None or not known.fits:
            raise BadConfig(f"{job_id} fits no model: net.job({job_id!r}) is the job", field="job_id")
        return AsyncJointModel(self._place, job_id, loaded(), found.known)

    async def jobs(self) -> list[AsyncJob[Any]]:
        """All jobs of this renter, oldest first."""
        place = self._place
        found = await jobs.list_jobs(place.store, place.jobs, place.network)
        return [AsyncJob(place, each.id, loaded(), each) for each in found]

    async def close(self) -> None:
        """End what was started here. Jobs of a running network go on; a local network ends with its jobs."""
        place, self._open = self._open, None
        if place is not None:
            await place.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _place(self) -> Place:
        if self._open is None:
            raise NetworkClosed
        return self._open

    async def _ordered(self, data: object, model: object, wishes: Wishes) -> Order:
        return await asyncio.to_thread(order, data, model, wishes, own_lessors=self._place.own_lessors)


class Opening:
    """`async with` this, or await it: an `AsyncNetwork`."""

    def __init__(self, place: Callable[[], Coroutine[Any, Any, Place]]) -> None:
        """Made by `sublet.aconnect` and `sublet.alocal`."""
        self._opened = place

    def __await__(self) -> Generator[Any, None, AsyncNetwork]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncNetwork:
        self._network = await self._open()
        return self._network

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._network.close()

    async def _open(self) -> AsyncNetwork:
        from nodes.client import logs  # noqa: PLC0415 - takes as long to import as all the rest

        logs.quiet()
        return AsyncNetwork(await self._opened())
