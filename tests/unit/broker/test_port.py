"""What every broker can carry, and what is refused before it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import MessageTooLarge
from broker.port import (
    CONTENT_TYPE,
    ENVELOPE_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADER_NAME_BYTES_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    SHORT_BYTES_MAX,
    Message,
    check_message,
)
from schemas import limits

UMLAUT = "ü"
"""Two bytes."""


def message(headers: Any = None, *, key: str = "k", body: bytes = b"", name: str = "1") -> Message:
    return Message(key, body, headers or {}, name)


@pytest.mark.parametrize(
    "fits",
    [
        message(body=bytes(limits.BODY_BYTES_MAX)),
        message(key="k" * SHORT_BYTES_MAX, name=UMLAUT * (SHORT_BYTES_MAX // 2)),
        message({CONTENT_TYPE: "x" * SHORT_BYTES_MAX}),
        message({"n": "x" * (HEADER_BYTES_MAX - 1), "x-n": "x" * (ENVELOPE_BYTES_MAX - 3)}),
        message({"n" * HEADER_NAME_BYTES_MAX: ""}),
        message({"least": INTEGER_MIN, "most": INTEGER_MAX}),
    ],
    ids=["body", "key and id", "content type", "headers and envelope", "header name", "integers"],
)
def test_what_is_at_the_limits_is_carried(fits: Message) -> None:
    check_message(fits)


@pytest.mark.parametrize(
    ("large", "what"),
    [
        (message(body=bytes(limits.BODY_BYTES_MAX + 1)), "body of 8388609 bytes, at most 8388608"),
        (message(key="k" * 256), "key of 256 bytes, at most 255"),
        (message(name=UMLAUT * 128), "id of 256 bytes, at most 255"),
        (message({CONTENT_TYPE: "x" * 256}), "content-type of 256 bytes, at most 255"),
        (message({"n": "x" * HEADER_BYTES_MAX}), "headers of 65537 bytes, at most 65536"),
        (message({"n": UMLAUT * (HEADER_BYTES_MAX // 2)}), "headers of 65537 bytes, at most 65536"),
        (message({"x-n": "x" * ENVELOPE_BYTES_MAX}), "headers of 8195 bytes, at most 8192"),
        (message({"n" * 129: ""}), "header name of 129 bytes, at most 128"),
    ],
)
def test_what_is_over_a_limit_is_refused_with_its_size(large: Message, what: str) -> None:
    with pytest.raises(MessageTooLarge, match=what):
        check_message(large)


@pytest.mark.parametrize("value", [1.5, True, None, b"x", [1], INTEGER_MAX + 1, INTEGER_MIN - 1, "\ud800"], ids=repr)
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        check_message(message({"n": value}))


def test_a_content_type_is_a_text() -> None:
    with pytest.raises(TypeError):
        check_message(message({CONTENT_TYPE: 1}))
