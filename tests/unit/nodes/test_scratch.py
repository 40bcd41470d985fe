"""Temporary folders go with their process, or with the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nodes.scratch import scratch


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_removed_at_the_end(parent: Path) -> None:
    with scratch() as folder:
        (folder / "file").touch()
        assert list(parent.iterdir()) == [folder]
    assert list(parent.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(parent: Path) -> None:
    script = "import os\nfrom nodes.scratch import scratch\nwith scratch():\n    os.kill(os.getpid(), 9)\n"
    environment = {**os.environ, "TMPDIR": str(parent)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = parent.iterdir()
    with scratch() as folder:
        assert list(parent.iterdir()) == [folder]
        assert folder != left


def test_what_is_in_use_or_not_ours_stays(parent: Path) -> None:
    others = parent / "sublet-local-other"
    others.mkdir()
    elsewhere = parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in-use").touch()
    (parent / "sublet-local-link").symlink_to(elsewhere)
    with scratch() as folder, scratch():
        assert (folder / "in-use").is_file()
        assert others.is_dir()
        assert (elsewhere / "in-use").is_file()
