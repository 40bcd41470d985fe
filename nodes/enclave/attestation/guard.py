"""Makes `Rejected` the only thing that leaves a verifier, whatever a parser does with hostile bytes. Pure.

Certificates are parsed lazily, so that any later look at one may still fail; and libraries written in Rust panic with
an exception that is no `Exception`. So every step that touches foreign bytes stands in a `guarded` block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nodes.enclave.errors import Code, Rejected

_PANIC: Final = "PanicException"


@contextmanager
def guarded(code: Code, detail: str = "") -> Iterator[None]:
    """Whatever fails in the block is rejected with `code`; a `Rejected` keeps its own.

    Raises:
        Rejected: the block failed. Cancellation and interrupts pass.
    """
    try:
        yield
    except Rejected:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == _PANIC:
            raise Rejected(code, detail) from None
        raise
