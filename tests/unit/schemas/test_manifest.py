"""Files in pieces: what is cut is joined again, and nothing else is."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from schemas.limits import FILE_BYTES_MAX, PIECE_BYTES
from schemas.manifest import Manifest, cut, joined


@pytest.mark.parametrize("size", [1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5])
def test_a_file_is_joined_from_its_pieces(size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    manifest, pieces = cut(content[:size])
    assert joined(manifest, pieces) == content[:size]
    assert [hashlib.sha256(piece).hexdigest() for piece in pieces] == list(manifest.pieces)
    assert {len(piece) for piece in pieces[:-1]} <= {PIECE_BYTES}
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


def test_pieces_in_another_order_or_number_are_no_file() -> None:
    manifest, (first, second) = cut(bytes(PIECE_BYTES) + b"x" * PIECE_BYTES)
    for wrong in ((second, first), (first,), (first, second, b""), (first, second + b"x"), ()):
        if b"".join(wrong) != first + second:
            with pytest.raises(ValueError, match="do not make up"):
                joined(manifest, wrong)


def test_a_file_of_another_size_than_its_manifest_says_is_none() -> None:
    manifest, pieces = cut(b"a program")
    with pytest.raises(ValueError, match="do not make up"):
        joined(msgspec.structs.replace(manifest, size=manifest.size + 1), pieces)


@pytest.mark.parametrize(
    "change",
    [
        {"size": PIECE_BYTES + 1},
        {"size": 0, "pieces": []},
        {"size": FILE_BYTES_MAX + 1, "pieces": ["0" * 64] * 65},
        {"pieces": ["0" * 64] * 2},
        {"pieces": ["0" * 63]},
        {"digest": "x" * 64},
    ],
)
def test_a_manifest_that_does_not_add_up_is_not_read(change: dict[str, Any]) -> None:
    fields = msgspec.to_builtins(cut(b"a program")[0]) | change
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(fields), type=Manifest)
