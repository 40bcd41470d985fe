"""A next release of this very tree, in a folder of its own and installed beside it: `CHANGES` says what is changed.

It says more in an event that this release knows, sends events and keeps records that this one does not know, migrates
both kinds of stores, and has another enclave.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nodes.store.file import shipped as sqlite_migrations
from nodes.store.postgres.migrations import shipped as postgres_migrations
from schemas.events import RELEASE

TREE: Final = Path(__file__).parents[2]
PACKAGES: Final = ("broker", "nodes", "schemas")
VERSION: Final = "99.0.0"
CORES: Final = 7
"""What its lessors say in a field that this release ignores."""

EVENTS: Final = '''
class WorkPlanned(Struct, frozen=True, kw_only=True):
    """A renter tells its hub what it is about to order."""

    job: IdField


class WorkEstimated(Struct, frozen=True, kw_only=True):
    """A lessor tells a renter how long a subtask will take."""

    job: IdField
    subtask: IdField
    seconds: float


# ---------------------------------------------------------------- the list
'''
ROWS: Final = """    return (
        row("work.planned", "renter", "hub", WorkPlanned, "control", "what a renter is about to order"),
        row("work.estimated", "lessor", "renter", WorkEstimated, "control", "how long a subtask will take"),
"""
ESTIMATED: Final = '''
def work_estimated(draft: Draft, event: Event) -> None:
    """`work.estimated`: kept in a record that the release before does not know."""
    data = data_of(event, WorkEstimated)
    draft.put(f"estimate/{data.subtask}", Estimate(seconds=data.seconds))


def announce('''
PLACED: Final = "    order: SellOrder\n    worker: WorkerId\n    cores: int = 0\n"
SIGNATURE: Final = '    signature: SignatureField = b""\n'
HANDLED: Final = '        "work.estimated": (LIVE | ENDED, subtasks.work_estimated),\n        "subtask.requested":'
CONFIG: Final = "from nodes.renter.protocol.config import"
NEW_TYPES: Final = ("work.planned", "work.estimated")
CHANGES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "schemas/events.py": (
        (f"RELEASE: Final = {RELEASE}\n", f"RELEASE: Final = {RELEASE + 1}\n"),
        ("    order: SellOrder\n    worker: WorkerId\n", PLACED),
        ("\n# ---------------------------------------------------------------- the list\n", EVENTS),
        ("    return (\n", ROWS),
    ),
    "schemas/orders.py": ((SIGNATURE, f"{SIGNATURE}    region: str | None = None\n"),),
    "nodes/lessor/protocol/market.py": (
        ("worker=draft.worker.name)\n", f"worker=draft.worker.name, cores={CORES})\n"),
    ),
    "nodes/lessor/protocol/opening.py": (
        (
            "    check_running(terms.contract, draft)\n    session =",
            "    check_running(terms.contract, draft)\n"
            "    estimated = WorkEstimated(job=terms.job, subtask=terms.subtask, seconds=1.0)\n"
            '    draft.send("work.estimated", event.source, terms.job, estimated)\n    session =',
        ),
        ("    SubtaskAnnounced,\n", "    SubtaskAnnounced,\n    WorkEstimated,\n"),
    ),
    "nodes/hub/selling.py": (
        (
            "    order = data.order\n    _check_order",
            '    order = data.order\n    draft.note("cores-told", f"{data.cores} cores")\n    _check_order',
        ),
    ),
    "nodes/hub/machine.py": (
        (
            '        "order.sell.placed": selling.placed,\n',
            '        "work.planned": lambda book, event: book.draft.note("work-planned", event.subject),\n'
            '        "order.sell.placed": selling.placed,\n',
        ),
    ),
    "nodes/renter/protocol/records.py": (
        (
            "RECORD_TYPES: Final",
            'class Estimate(Struct, frozen=True, kw_only=True):\n    """Of a subtask."""\n\n    seconds: float\n\n\n'
            "RECORD_TYPES: Final",
        ),
        ('        "job": Job,\n', '        "job": Job,\n        "estimate": Estimate,\n'),
    ),
    "nodes/renter/protocol/market.py": (
        (
            '    draft.send("order.buy.placed", _hub(draft)',
            '    draft.send("work.planned", _hub(draft), spec.id, WorkPlanned(job=spec.id))\n'
            '    draft.send("order.buy.placed", _hub(draft)',
        ),
        ("from schemas.events import ", "from schemas.events import WorkPlanned, "),
    ),
    "nodes/renter/protocol/subtasks.py": (
        ("\ndef announce(", ESTIMATED),
        ("from nodes.machine import", "from nodes.draft import data_of\nfrom nodes.machine import"),
        ("from schemas.events import ", "from schemas.events import Event, WorkEstimated, "),
        ("import Draft\n", "import Draft\nfrom nodes.renter.protocol.records import Estimate\n"),
    ),
    "nodes/renter/protocol/machine.py": (
        ('        "subtask.requested":', HANDLED),
        (CONFIG, f"from nodes.renter.protocol import subtasks\n{CONFIG}"),
    ),
    "nodes/enclave/child/engine.py": (('"""', '"""Of the next release. '),),
}
"""Text in a file, once, and what stands in its place."""
MIGRATION: Final = "-- needs: 1\nALTER TABLE inbox ADD COLUMN release integer;\nCREATE TABLE estimates (job text);\n"


@dataclass(frozen=True, slots=True)
class Release:
    """Installed in a virtual environment of its own."""

    python: Path

    @property
    def command(self) -> tuple[str, ...]:
        """`sublet`."""
        return (str(self.python), "-P", "-m", "nodes.cli")

    def measurement(self) -> str:
        """Of its software enclave, hexadecimal: what its lessors tell renters before they begin to use it."""
        asked = (*self.command, "evidence", "measurement")
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


THIS: Final = Release(Path(sys.executable))


def next_release(folder: Path) -> Release:
    """Made and installed below this folder."""
    code = folder / "code"
    for package in PACKAGES:
        shutil.copytree(TREE / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in CHANGES.items():
        _change(code / name, changes)
    store = code / "nodes" / "store"
    _add(store / "migrations", len(list(sqlite_migrations())))
    _add(store / "postgres" / "migrations", len(list(postgres_migrations())))
    about = code / f"sublet-{VERSION}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: sublet\nVersion: {VERSION}\n")
    return Release(_installed(code, folder / "venv"))


def _installed(code: Path, environment: Path) -> Path:
    """The interpreter of an environment with this code, and the libraries of this process behind it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    where = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(where.stdout.strip()) / "next.pth").write_text("\n".join([str(code), *sorted(libraries)]) + "\n")
    return python


def _change(path: Path, changes: tuple[tuple[str, str], ...]) -> None:
    text = path.read_text()
    for before, after in changes:
        assert before in text, f"{path.name} has no {before!r} any more: change tests/support/releases.py"
        text = text.replace(before, after, 1)
    path.write_text(text)


def _add(folder: Path, last: int) -> None:
    (folder / f"{last + 1:04}_next.sql").write_text(MIGRATION)
