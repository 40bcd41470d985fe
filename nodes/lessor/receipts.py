"""What a lessor keeps: a file per receipt that it countersigned, with the contract, in a folder per day.

    <folder>/2026-03-01/contract-….json        `nodes.contracts.to_file` of a Settlement

All workers of a lessor share the folder. A file is there whole or not at all, and never changes: the first receipt of a
contract counts, whichever worker wrote it. A day's go together, as hubs' and renters' do (`nodes/receipts.py`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from nodes.contracts import read_file, to_file
from nodes.machine import Refused
from nodes.receipts import day_of
from schemas.contracts import Contract, Receipt, Settlement
from schemas.errors import BadConfig
from schemas.limits import KEEP_RECEIPTS_DAYS_DEFAULT
from schemas.signing import struct_bytes

FOLDER_MODE = 0o700


class Receipts:
    """The folder of one lessor. Blocking."""

    def __init__(self, folder: Path, keep_days: float = KEEP_RECEIPTS_DAYS_DEFAULT) -> None:
        """Raises BadConfig: receipts could not be written there."""
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise BadConfig(f"cannot make {folder} for receipts: {error.strerror}", field="data_dir") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadConfig(f"{folder} is for receipts, and this user cannot write there", field="data_dir")
        self._folder, self._keep = folder, timedelta(days=keep_days + 1)

    def require_only(self, contract: Contract, receipt: Receipt) -> None:
        """That no other receipt of this contract was countersigned. Raises Refused: second-receipt."""
        known = self._read(self._path(contract))
        if known is not None and struct_bytes(known.receipt) != struct_bytes(receipt):
            raise Refused("second-receipt", f"{contract.id} has another receipt already")

    def keep(self, settlement: Settlement) -> None:
        """Write it; on return it survives a crash of the machine.

        Raises:
            Refused: second-receipt.
            OSError: the disk.
        """
        path = self._path(settlement.contract)
        path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(to_file(settlement))
                file.flush()
                os.fsync(file.fileno())
            _link(Path(beside), path)
        finally:
            Path(beside).unlink(missing_ok=True)
        for folder in (path.parent, self._folder):
            _sync(folder)
        self.require_only(settlement.contract, settlement.receipt)

    def forget(self, today: date) -> None:
        """Remove days that are older than receipts are kept."""
        last = today - self._keep
        for day in days(self._folder):
            if day.name < f"{last:%Y-%m-%d}":
                shutil.rmtree(day, ignore_errors=True)

    def _path(self, contract: Contract) -> Path:
        return self._folder / day_of(contract) / f"{contract.id}.json"

    def _read(self, path: Path) -> Settlement | None:
        try:
            return read_file(Settlement, path.read_bytes())
        except FileNotFoundError:
            return None


def days(folder: Path) -> Iterator[Path]:
    """The folders of days, oldest first; none where the lessor never ran."""
    if folder.is_dir():
        yield from sorted(each for each in folder.iterdir() if _is_day(each.name))


def _is_day(name: str) -> bool:
    try:
        return f"{datetime.strptime(name, '%Y-%m-%d').replace(tzinfo=UTC):%Y-%m-%d}" == name
    except ValueError:
        return False


def _link(beside: Path, path: Path) -> None:
    """Give a file its name, unless another has it."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
