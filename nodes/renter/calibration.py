"""What homomorphic work costs on this machine: measured once, kept in a file, measured anew when the machine changes.

The file is a cache: one that cannot be read, or is of another machine, library or measure, is made again. So is one
whose probe, a piece of fixed work done again before each job, now takes another time: the machine is throttled, or
shared with others that were not there before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic import measure
from nodes.homomorphic.costs import Units
from schemas.jobs import APPROXIMATE, Scheme

PROBE_TOLERANCE: Final = 1.25
"""A probe that differs by more than this factor, either way, says that the machine is another now."""
_LIBRARIES: Final = ("gmpy2", "numpy", "tenseal")


class Calibration(Struct, frozen=True):
    """Units by scheme."""

    machine: str
    probe_seconds: float
    units: dict[str, Units]


async def units(crew: Crew, path: Path, schemes: Iterable[Scheme]) -> Mapping[str, Units]:
    """Units of at least these schemes, from the file at `path` if they still hold; what had to be measured is kept."""
    machine = fingerprint()
    probe = (await crew.call(measure.probe, Kit.of(None))).result
    known = _read(path)
    if known is None or known.machine != machine or not _alike(known.probe_seconds, probe):
        known = Calibration(machine, probe, {})
    measured = dict(known.units)
    missing = [scheme for scheme in schemes if scheme not in measured]
    if not APPROXIMATE.issuperset(missing):
        measured |= (await crew.call(measure.measure_paillier, Kit.of(None))).result
    for scheme in APPROXIMATE.intersection(missing):
        measured |= await _in_new_process(scheme)
    if missing:
        _write(path, Calibration(machine, probe, measured))
    return measured


async def _in_new_process(scheme: Scheme) -> dict[str, Units]:
    fresh = Crew(1)
    try:
        return (await fresh.call(measure.measure_ckks, Kit.of(None), scheme)).result
    finally:
        await fresh.close()


def user_file() -> Path:
    """For networks that live in one process: in the user's cache folder (XDG base directories), kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sublet" / "calibration.json"


def fingerprint() -> str:
    """What a measurement depends on, as text."""
    parts = [f"code {_code()}", _processor(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            parts.append(f"{library} {version(library)}")
    return ", ".join(parts)


def _code() -> str:
    """Of what is measured, and of what measures."""
    sources = sorted(Path(measure.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


def _processor() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _alike(left: float, right: float) -> bool:
    return left < right * PROBE_TOLERANCE and right < left * PROBE_TOLERANCE


def _read(path: Path) -> Calibration | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, calibration: Calibration) -> None:
    """Whole or not at all; a cache that cannot be written is no reason to fail a job."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(calibration))
            Path(aside).replace(path)
        except OSError:
            Path(aside).unlink()
