"""A job's program and public key in the blob store, ready to travel: whole, and in pieces."""

from __future__ import annotations

from nodes.store.blobs import BlobStore
from schemas.manifest import Manifest, cut


def keep(blobs: BlobStore, content: bytes) -> Manifest:
    """Keep a file and each of its pieces by its digest. Blocking."""
    manifest, pieces = cut(content)
    for each in {content, *pieces}:
        blobs.put(each)
    return manifest
