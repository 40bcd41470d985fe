"""The last picture of each page that is looked at: made anew at most once a second, however many look."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from htpy import h1, header, p

from nodes.page.layout import content, status_line
from nodes.page.pages import NoSuchPage, Show, Target, resolve
from nodes.page.reader import LOOK_SECONDS, READ_SECONDS_MAX, Reader
from schemas.errors import SubletError

PICTURES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as HTML: its content, and the line that says how old it is."""

    title: str
    main: str
    status: str
    found: bool = True


@dataclass(slots=True)
class _Kept:
    title: str = ""
    main: str = ""
    found: bool = True
    made_at: float = -math.inf
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


class Gallery:
    """Of one node."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def picture(self, address: str) -> Picture:
        """The page at this address (path and query), at most a second old or as old as the store lets it be.

        Raises:
            NoSuchPage: there is none.
        """
        show, target = resolve(address)
        kept = self._kept.setdefault(address, _Kept())
        self._kept.move_to_end(address)
        while len(self._kept) > PICTURES_MAX:
            self._kept.popitem(last=False)
        reader = self._reader
        await reader.look()
        async with kept.making:
            if reader.stopwatch() - kept.made_at >= LOOK_SECONDS and reader.trouble is None:
                await self._make(kept, show, target)
                kept.made_at = reader.stopwatch()
        status = status_line(reader.config.address, reader.config.role, reader.presence, reader.trouble)
        return Picture(kept.title, kept.main or _nothing_yet(), str(status), kept.found)

    async def _make(self, kept: _Kept, show: Show, target: Target) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS_MAX):
                sight = await show(self._reader, target)
        except NoSuchPage as error:
            kept.title, kept.found = "Not found", False
            kept.main = str(content(header(".head")[h1["Not found"], p(".waits")[f"{error}."]]))
        except (SubletError, TimeoutError, OSError) as error:
            self._reader.failed(error)
        else:
            kept.title, kept.main, kept.found = sight.title, str(content(sight.content)), True


def _nothing_yet() -> str:
    return str(content(header(".head")[h1["Nothing was read yet"]]))
