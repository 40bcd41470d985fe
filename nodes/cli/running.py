"""Commands on a running network, from one node's folder: they print what views say, or do it at the desk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nodes.cli import show
from nodes.cli.console import Output
from nodes.cli.files import require_writable, write_result, writing
from nodes.cli.progress import follow
from nodes.config import NodeConfig
from nodes.network import described
from nodes.views import jobs, journal, models, orders
from nodes.views.explanation import explanation, summary
from nodes.views.source import open_store
from schemas.errors import BadConfig

if TYPE_CHECKING:
    from broker.network import Network
    from nodes.cli.inputs import Inputs
    from nodes.renter.submission import JobOptions


TAKEN_SECONDS_MAX: Final = 5.0
"""A running worker takes a job in a fraction of that."""


@dataclass(frozen=True, slots=True)
class Running:
    """A node of the running network, and where output goes."""

    config: NodeConfig
    output: Output

    async def submit(self, inputs: Inputs, wishes: JobOptions, *, wait: bool, key: str | None = None) -> int:
        """Submit a job, or with a `key` find the one that was; with `wait`, the exit code is the job's.

        Raises:
            SubletError: the files cannot be used, a policy forbids it, or the broker cannot be reached.
        """
        from nodes import desk  # noqa: PLC0415 - commands that only look start quicker

        given = (inputs.data, inputs.program, inputs.local_program, wishes)
        job = await (desk.submit(self.config, *given) if key is None else desk.submit_once(self.config, key, *given))
        if wait:
            self.output.note(f"submitted {job}; Ctrl-C leaves it running")
            return await self.watch(job)
        with self._left(job):
            async with open_store(self.config, make=True) as store:
                taken = await jobs.is_taken(store, job, self.config.jobs, TAKEN_SECONDS_MAX)
        self._say_unless(taken, job)
        self.output.text(job)
        self.output.result({"job": job, "state": "submitted", "taken": taken})
        return 0

    async def whole_id(self, wanted: str) -> str:
        """The id of the job that `wanted` is, or the beginning of; raises UnknownJob or UnknownId."""
        async with open_store(self.config) as store:
            return await jobs.find(store, wanted, self.config.jobs)

    async def quote(self, inputs: Inputs, wishes: JobOptions) -> None:
        """What a job would take under each protection; nothing is ordered, and nothing is left behind.

        Raises:
            SubletError: the job could not be submitted either.
        """
        from nodes import desk  # noqa: PLC0415 - commands that only look start quicker
        from nodes.cli.quote_show import quote_lines  # noqa: PLC0415
        from nodes.quotes.quoting import quote, services_at  # noqa: PLC0415

        market = await desk.market_or_none(self.config)
        async with services_at(self.config) as services:
            found = await quote(services, inputs.data, inputs.program, inputs.local_program, wishes, market)
        self.output.text(*quote_lines(found))
        self.output.result(asdict(found))

    async def cancel(self, wanted: str) -> None:
        """Ask the renter's workers to take the job back, whether or not they have taken it yet."""
        from nodes import desk  # noqa: PLC0415 - commands that only look start quicker

        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
        await desk.cancel(self.config, job)
        self.output.text(f"{job}: cancellation requested")
        self.output.result({"job": job, "state": "cancellation requested"})

    async def delete(self, wanted: str) -> None:
        """Ask the renter's workers to remove all that there is of a job, whether or not they have taken it yet."""
        from nodes import desk  # noqa: PLC0415 - commands that only look start quicker

        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
        await desk.delete(self.config, job)
        self.output.text(f"{job}: deletion requested")
        self.output.result({"job": job, "state": "deletion requested"})

    @property
    def _network(self) -> Network:
        return described(self.config.network)

    async def list_jobs(self, *, phase: str, since: float, limit: int) -> None:
        """Jobs, newest first; at most `limit` of them, where that is not 0."""
        most = limit + 1 if limit else None
        async with open_store(self.config) as store:
            found = await jobs.list_jobs(store, self.config.jobs, self._network, phase=phase, since=since, limit=most)
        shown = found[: limit or None]
        self.output.text(show.jobs_table(shown))
        self.output.more(len(found), limit)
        self.output.result([show.as_value(each) for each in shown])

    async def show(self, wanted: str, *, verbose: bool) -> None:
        """One job; if `verbose` with its orders and all numbers."""
        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
            report = await jobs.report(store, job, self.config.jobs, self._network)
            behind = await orders.of_job(store, job)
        show.show(self.output, report, verbose=verbose)
        if behind and verbose:
            self.output.text(show.job_orders_table(behind))

    async def watch(self, wanted: str, *, verbose: bool = False) -> int:
        """Follow a job to its end; its exit code. A job that the workers have not taken yet is waited for."""
        async with open_store(self.config, make=True) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
            with self._left(job):
                self._say_unless(await jobs.is_taken(store, job, self.config.jobs, TAKEN_SECONDS_MAX), job)
                report = await follow(jobs.watch(store, job, self.config.jobs, network=self._network), self.output)
        show.show(self.output, report, verbose=verbose)
        show.say_why(self.output, report)
        return show.exit_code(report)

    @contextlib.contextmanager
    def _left(self, job: str) -> Iterator[None]:
        """Whoever does not wait any longer is told what goes on without them."""
        try:
            yield
        except asyncio.CancelledError:
            self.output.note(f"{job} goes on: `sublet job watch` follows it, `sublet job cancel` takes it back")
            raise

    def _say_unless(self, taken: bool, job: str) -> None:
        """A job may wait for a worker for ever: nobody shall wait for it without a word."""
        if not taken:
            self.output.note(
                f"{job} is waiting for a renter: no worker of {self.config.address} has taken it yet. Is `sublet "
                "renter` running? If it is, its log says what it set aside, and why"
            )

    async def result(self, wanted: str, out: Path | None) -> int:
        """A completed job's output to `out` or stdout.

        Raises:
            BadConfig: the job has none (yet), or it cannot be written there.
        """
        require_writable(out)
        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
            report = await jobs.report(store, job, self.config.jobs, self._network)
        if report.phase == "failed":
            show.say_why(self.output, report)
            self.output.result(show.as_value(report))
            return show.exit_code(report)
        if report.output is None:
            raise BadConfig(f"{job} is {report.phase}, it has no result yet", field="job")
        if out is not None or not self.output.as_json:
            write_result(report.output, out)
        if out is not None:
            self.output.text(f"{out}")
        self.output.result(show.as_value(report) | {"output": out or report.output})
        return 0

    async def model(self, wanted: str, out: Path | None) -> None:
        """The renter's part of a fitted model, as a program, to `out` or stdout.

        Raises:
            BadConfig: the job fitted none (yet), or it cannot be written there.
        """
        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
            report = await jobs.report(store, job, self.config.jobs, self._network)
        if report.joint is None or report.joint.fit is None:
            raise BadConfig(f"{job} is {report.phase}, and has fitted no model", field="job")
        with writing(out) as file:
            file.write(models.program(self.config.jobs, job))

    async def explain(self, wanted: str, *, verbose: bool) -> None:
        """The job's journal in words."""
        async with open_store(self.config) as store:
            lines = await journal.explain(store, await jobs.find(store, wanted, self.config.jobs))
        self.output.text(*(explanation(lines) if verbose else summary(lines)))
        self.output.result(lines)

    async def orders(self, *, limit: int) -> None:
        """The hub's book, or the orders behind a renter's contracts; at most `limit` of them, where that is not 0.

        Raises:
            BadConfig: a lessor keeps no orders.
        """
        async with open_store(self.config) as store:
            found = await (orders.in_book(store) if self.config.role == "hub" else orders.of_renter(store))
        shown = found[: limit or None]
        self.output.text(show.orders_table(shown))
        self.output.more(len(found), limit)
        self.output.result(shown)

    async def export(self, wanted: str, out: Path | None) -> None:
        """The job's journal as signed JSON lines to `out` or stdout."""
        from nodes.bootstrap.renter import renter_config  # noqa: PLC0415 - commands that only look start quicker

        identity = self.config.identity()
        async with open_store(self.config) as store:
            job = await jobs.find(store, wanted, self.config.jobs)
            lines = await journal.export(store, job, renter_config(self.config, identity), identity.sign)
        with writing(out) as file:
            file.writelines(line + b"\n" for line in lines)
