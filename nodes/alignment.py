"""Whether two parties have the same rows in the same order, told by one digest."""

from __future__ import annotations

import hashlib
from typing import Final

from nodes.data.table import Table

IDS_AT_A_TIME: Final = 65_536


def ids_digest(table: Table, job: str) -> str:
    """SHA-256 of all row ids in their order, each behind its length, salted with the job's id.

    Equal exactly where both sides' ids are. Somebody who can guess the whole list can confirm the guess, and nothing
    less than the whole list.
    """
    digest = hashlib.sha256(f"sublet/v1/ids/{job}".encode())
    for first in range(0, table.rows, IDS_AT_A_TIME):
        for each in table.ids(first, min(IDS_AT_A_TIME, table.rows - first)):
            raw = each.encode()
            digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()
