"""What the page reads, and when: the node's store through views, at most once a second per page, with bounded memory.

A store that cannot be read leaves the last picture standing, and it is said since when.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.config import NodeConfig
from nodes.hub.machine import AGGREGATE
from nodes.network import described
from nodes.page.job import JobPicture
from nodes.roles import ROLES
from nodes.store.errors import StoreClosed, StoreFailed
from nodes.store.opening import Place
from nodes.store.port import Store
from nodes.views import jobs
from nodes.views.balance import Balance
from nodes.views.history import History
from nodes.views.lines import JobLines
from nodes.views.presence import Presence, presence
from nodes.views.refusals import Refused, RefusedLast
from nodes.views.report import JobReport
from schemas.errors import SubletError

READ_SECONDS_MAX: Final = 5.0
"""What a page shows is read in that time, or not at all."""
LOOK_SECONDS: Final = 1.0
LOOK_SECONDS_MAX: Final = 2.0
"""A store that does not say so soon who lives is as good as stopped."""
GLANCE_SECONDS_MAX: Final = 0.2
"""So long a page waits for one that was: it may be back."""
CLOSE_SECONDS_MAX: Final = 2.0
"""A store that does not answer is left as it is."""
HISTORIES_MAX: Final = 4
"""Jobs whose timelines are kept."""
ENTRIES_MAX: Final = 2_000
"""Of a journal, read at a time."""
READ_ON_SECONDS_MAX: Final = 0.2
"""In one look: what is long is read over several."""


@dataclass(slots=True)
class _Known:
    history: History
    unread: int = 0


class Reader:
    """Of one node. `clock` gives seconds since 1970, `stopwatch` seconds from anywhere."""

    def __init__(self, config: NodeConfig, clock: Callable[[], float], stopwatch: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.lines = JobLines()
        self.presence: Presence | None = None
        self.trouble: tuple[float, str] | None = None
        """Since when the store cannot be read (seconds since 1970; 0: it never was), and why."""
        self.stopwatch = stopwatch
        self._balance = Balance(stopwatch)
        self._adding_up = asyncio.Lock()
        self._refusals = RefusedLast(AGGREGATE)
        self._row = ROLES[config.role]
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._good_at = 0.0
        self._looked_at = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._histories: OrderedDict[str, _Known] = OrderedDict()

    @property
    def has_store(self) -> bool:
        """Whether this role keeps one."""
        return self._row.has_store

    async def close(self) -> None:
        """Close the store, if it is open; one that does not answer is not waited for long."""
        if self._looking is not None:
            self._looking.cancel()
        if self._store is not None:
            store, self._store = self._store, None
            with contextlib.suppress(TimeoutError, SubletError):
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await store.close()

    async def store(self) -> Store:
        """The node's, opened where it was not yet.

        Raises:
            SubletError: there is none yet, or it cannot be opened.
        """
        async with self._opening:
            if self._store is None:
                place = Place(self.config.data_dir, self.config.store_url)
                if not place.is_made:
                    raise StoreFailed(f"there is none yet: `sublet {self.config.role}` makes it at its first start")
                known = self._row.load(self._row.machine).record_types
                self._store = await place.open(self.config.address, known)
            return self._store

    async def look(self) -> None:
        """See whether the store can be read and the node lives; not more often than once in `LOOK_SECONDS`.

        One question at a time is put to a store: while that has no answer, the last picture is shown at once.
        """
        if not self.has_store:
            return
        if self._looking is None or self._looking.done():
            if self.stopwatch() - self._looked_at < LOOK_SECONDS:
                return
            self._looked_at = self.stopwatch()
            self._looking = asyncio.create_task(self._look())
        await asyncio.wait([self._looking], timeout=GLANCE_SECONDS_MAX if self.trouble else LOOK_SECONDS_MAX)
        if not self._looking.done() and not self.trouble:
            self.failed(TimeoutError(f"no answer within {LOOK_SECONDS_MAX:g} s"))

    async def _look(self) -> None:
        try:
            self.presence = await presence(await self.store(), self.clock())
        except (SubletError, TimeoutError, OSError) as error:
            self.failed(error)
        else:
            self._good_at, self.trouble = self.clock(), None

    def failed(self, error: Exception) -> None:
        """The store could not be read."""
        reason = str(error) or f"no answer within {READ_SECONDS_MAX:g} s"
        since = self.trouble[0] if self.trouble else self._good_at
        self.trouble = (since, reason)
        if isinstance(error, StoreClosed):
            self._store = None

    # ------------------------------------------------------------ what pages show

    async def job(self, job_id: str) -> JobPicture | None:
        """A job with its history; None where there is none of this id."""
        store, now = await self.store(), self.clock()
        found = await jobs.report_when_taken(store, job_id, self.config.jobs, described(self.config.network))
        if found is None:
            found = JobReport(id=job_id, phase="new")
        known = await self._history(store, job_id)
        return JobPicture(found, known.history, known.unread, now)

    async def all_lines(self) -> JobLines:
        """The renter's jobs, as many as can be read in one look."""
        store, start = await self.store(), self.stopwatch()
        await self.lines.refresh(store, lambda: self.stopwatch() - start < READ_ON_SECONDS_MAX)
        return self.lines

    async def receipts(self) -> Balance:
        """What this node's receipts add up to, as many as can be read in one look."""
        start = self.stopwatch()
        async with self._adding_up:
            while not await self._add_up() and self.stopwatch() - start < READ_ON_SECONDS_MAX:
                pass
        return self._balance

    async def _add_up(self) -> bool:
        if self.config.role == "partner":
            return True
        if not self.has_store:
            keys = self.config.network.hub_keys
            return await asyncio.to_thread(self._balance.refresh_files, self.config.receipts, keys)
        return await self._balance.refresh(await self.store())

    async def refused(self, source: str) -> Refused | None:
        """The last event of this sender that this hub refused, as much of its journal as can be read in one look."""
        store, start = await self.store(), self.stopwatch()
        while not await self._refusals.refresh(store) and self.stopwatch() - start < READ_ON_SECONDS_MAX:
            pass
        return self._refusals.of(source)

    async def _history(self, store: Store, job_id: str) -> _Known:
        known = self._histories.setdefault(job_id, _Known(History()))
        self._histories.move_to_end(job_id)
        while len(self._histories) > HISTORIES_MAX:
            self._histories.popitem(last=False)
        stamp = (await store.stamps(job_id)).get(job_id)
        total, start = stamp.journalled if stamp else 0, self.stopwatch()
        while known.history.entries < total and self.stopwatch() - start < READ_ON_SECONDS_MAX:
            entries = await store.journal(job_id, first=known.history.entries, entries_max=ENTRIES_MAX)
            known.history.add(entries)
            if not entries:
                break
        known.unread = max(0, total - known.history.entries)
        return known
