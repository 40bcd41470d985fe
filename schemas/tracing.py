"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the `traceparent` of an event, its extension of that name.

It is not signed: whoever carries an event may put its own span between. So nothing but pictures may rest on it. Pure.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LABEL: Final = b"sublet/v1/trace"


def read_traceparent(value: object) -> str:
    """The value, if it is one; else nothing, and a new trace may begin (section 2.2.2 of the standard)."""
    return value if isinstance(value, str) and _FORM.fullmatch(value) else ""


def trace_of(traceparent: str) -> str:
    """The trace's id, 32 hexadecimal digits; empty for no context."""
    return traceparent[3:35]


def first_traceparent(job: str) -> str:
    """Where a job's trace begins whose user has none: the same for whoever knows the job's id."""
    digest = hashlib.sha256(_LABEL + job.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"
