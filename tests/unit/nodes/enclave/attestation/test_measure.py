"""The measurement covers all code of ours that a child runs, and nothing else changes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodes.enclave.attestation.measure import MEASURED_FILES, MEASURED_PACKAGES, code_root, measurement

LOADED = """
import sys
import nodes.enclave.child.main
ours = (m.__file__ for name, m in sys.modules.items() if name.split(".")[0] in ("schemas", "broker", "nodes"))
print(*filter(None, ours), sep="\\n")
"""


def test_every_module_of_ours_that_a_child_imports_is_measured() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, cwd=code_root())
    loaded = [Path(line).relative_to(code_root()).as_posix() for line in ran.stdout.split()]
    assert "nodes/enclave/child/engine.py" in loaded
    measured = (*MEASURED_FILES, *(f"{each}/" for each in MEASURED_PACKAGES))
    assert [path for path in loaded if not path.startswith(measured)] == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for package in MEASURED_PACKAGES:
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "code.py").write_text("x = 1\n")
    for name in MEASURED_FILES:
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize("name", [*MEASURED_FILES, *(f"{each}/code.py" for each in MEASURED_PACKAGES)])
def test_a_change_of_any_measured_file_changes_the_measurement(root: Path, name: str) -> None:
    before = measurement(root)
    (root / name).write_text("x = 2\n")
    assert measurement(root) != before


def test_a_new_a_moved_and_a_removed_file_change_the_measurement(root: Path) -> None:
    file = root / MEASURED_PACKAGES[0] / "code.py"
    seen = {measurement(root)}
    file.rename(file.with_name("other.py"))
    seen.add(measurement(root))
    file.write_text("x = 1\n")
    seen.add(measurement(root))
    file.unlink()
    file.with_name("other.py").unlink()
    seen.add(measurement(root))
    assert len(seen) == 4


def test_what_a_child_does_not_run_is_not_measured(root: Path) -> None:
    before = measurement(root)
    (root / "nodes" / "renter.py").write_text("x = 2\n")
    (root / MEASURED_PACKAGES[0] / "notes.txt").write_text("x")
    assert measurement(root) == before
