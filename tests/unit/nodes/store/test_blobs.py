"""Content-addressed files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nodes.store.blobs import BlobStore
from nodes.store.errors import BlobDamaged, BlobMissing


def test_a_blob_is_found_by_its_sha_256_and_leaves_no_other_file(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    digest = blobs.put(b"program")
    assert digest == hashlib.sha256(b"program").hexdigest() == blobs.put(b"program")
    assert BlobStore(tmp_path / "blobs").get(digest) == b"program"
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [digest]


def test_a_damaged_blob_is_not_given_out(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    digest = blobs.put(b"program")
    blobs.path(digest).write_bytes(b"another")
    with pytest.raises(BlobDamaged, match=digest) as refusal:
        blobs.get(digest)
    assert refusal.value.code == "blob-damaged"


@pytest.mark.parametrize("digest", ["../" + "0" * 61, "0" * 63, "0" * 64 + "\n", "A" * 64, ""])
def test_what_is_not_a_digest_names_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(BlobMissing):
        BlobStore(tmp_path).path(digest)


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    with pytest.raises(BlobMissing, match="0" * 64):
        BlobStore(tmp_path).get("0" * 64)
