"""A job's folder: part files are whole and what was accepted, and lessors' messages are kept up to a bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.renter.errors import OtherFormat
from nodes.renter.files import incidents
from nodes.renter.files.folder import FORMAT, JobFolder
from nodes.renter.files.parts import read_part, write_part
from schemas.errors import JobFailed

ROWS = np.array([[1.0, -2.0], [3.5, 4.25]])


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "jobs" / "job-1")
    made.make()
    return made


def test_a_folder_carries_its_format(folder: JobFolder) -> None:
    assert (folder.path / "format").read_text() == FORMAT
    folder.check()
    with pytest.raises(FileExistsError):
        folder.make()


def test_a_folder_without_a_format_is_of_another_release(tmp_path: Path) -> None:
    (tmp_path / "input.csv").write_text("a\n1\n")
    with pytest.raises(OtherFormat, match="'none', not '3'"):
        JobFolder(tmp_path).check()


def test_a_part_is_read_as_it_was_written_and_written_once(folder: JobFolder) -> None:
    digest = write_part(folder, 3, ROWS)
    assert write_part(folder, 3, ROWS) == digest
    assert (read_part(folder, 3, digest, 2) == ROWS).all()
    assert [path.name for path in folder.parts.iterdir()] == [f"000003-{digest[:16]}.f64"]


def test_parts_that_were_removed_or_changed_are_told_so(folder: JobFolder) -> None:
    digest = write_part(folder, 3, ROWS)
    path = folder.part(3, digest)
    path.write_bytes(bytes(32))
    with pytest.raises(JobFailed, match="the result of batch 3 was changed on disk"):
        read_part(folder, 3, digest, 2)
    path.unlink()
    with pytest.raises(JobFailed, match="the result of batch 3 is gone"):
        read_part(folder, 3, digest, 2)


def test_lessors_messages_are_kept_whole_up_to_a_bound(folder: JobFolder) -> None:
    kept = [incidents.keep(folder, {"n": n}, b"body") for n in range(incidents.INCIDENTS_MAX + 1)]
    assert all(kept[:-1])
    assert kept[-1] == ""
    assert incidents.keep(folder, {"n": 0}, b"body") == kept[0]
    assert incidents.read(folder, kept[0]) == incidents.SignedMessage({"n": 0}, b"body")
