"""Spares an import what it goes on without: a process that starts pays for each module that anything loads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Inside, a module that was not loaded yet cannot be imported; afterwards it can. For the start, before threads."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        yield
    finally:
        del sys.modules[name]
