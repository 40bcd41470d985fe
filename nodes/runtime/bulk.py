"""Events with bulk bodies, encoded and decoded off the event loop: hashing a mebibyte would hold up everything else.

SHA-256 lets other threads run, so bodies are hashed while others travel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas import codec
from schemas.codec import Received
from schemas.events import Event

OFF_LOOP_BYTES_MIN: Final = 256 * 1024
"""Smaller bodies are hashed in about the time that it takes to hand them to a thread and back."""


async def encode(event: Event, sign: Callable[[bytes], bytes]) -> tuple[dict[str, str], bytes]:
    """As `schemas.codec.encode`."""
    if len(event.body) < OFF_LOOP_BYTES_MIN:
        return codec.encode(event, sign)
    return await asyncio.to_thread(codec.encode, event, sign)


async def decode(headers: Mapping[str, Any], body: bytes) -> Received:
    """As `schemas.codec.decode`."""
    if len(body) < OFF_LOOP_BYTES_MIN:
        return codec.decode(headers, body)
    return await asyncio.to_thread(codec.decode, headers, body)
