"""What homomorphic work costs on this machine: measured once, kept in a file, priced anew for each job.

The file is a cache: one that cannot be read, or is of another machine, library or measure, is made again. What is kept
are units in probes, a fixed piece of work, and how long a probe took before each of the last jobs. Their median is the
price: a machine that others slow down for seconds is as fast as it mostly is. A speed that is wholly another, because
the machine is throttled or its neighbours changed, counts alone and at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import fmean, median
from typing import Final

import msgspec
from msgspec import Struct

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic import measure, schemes
from nodes.homomorphic.costs import Units
from schemas.jobs import APPROXIMATE, PAILLIER, Scheme

PROBES_KEPT: Final = 9
PROBE_TOLERANCE: Final = 2.0
"""A probe that differs from those before by more than this factor, either way, says that the machine is another now."""
_LIBRARIES: Final = ("gmpy2", "numpy", "seal-python", "tenseal")


class Calibration(Struct, frozen=True):
    """Units by kind of key, in probes, and the seconds that the last probes took, the newest last."""

    machine: str
    probes: tuple[float, ...]
    units: dict[str, Units]


async def units(crew: Crew, path: Path, kinds: Iterable[str]) -> Mapping[str, Units]:
    """Units of at least these kinds of keys (`schemes.kind`), in seconds as of now; what had to be measured is kept in
    the file at `path`."""
    machine = fingerprint()
    known = _read(path)
    if known is None or known.machine != machine:
        known = Calibration(machine, (), {})
    probes = await _probed(crew, known.probes)
    measured = dict(known.units)
    missing = {kind: schemes.of_kind(kind) for kind in kinds if kind not in measured}
    if PAILLIER.intersection(missing):
        measured |= (await crew.call(measure.measure_paillier, Kit.of(None))).result
    for scheme, at in missing.values():
        if scheme not in PAILLIER:
            measured |= await _in_new_process(scheme, at)
    if missing:
        probes = await _probed(crew, probes)
    _write(path, Calibration(machine, probes, measured))
    return {scheme: each.times(median(probes)) for scheme, each in measured.items()}


async def _probed(crew: Crew, probes: tuple[float, ...]) -> tuple[float, ...]:
    """With one more: the mean of all processes at once, as jobs keep them busy. Cores that share units or heat are
    slower together than one alone."""
    await _everywhere(crew)  # starts them: the next ones then run side by side
    fresh = fmean(await _everywhere(crew))
    if probes and not 1 / PROBE_TOLERANCE < fresh / median(probes) < PROBE_TOLERANCE:
        return (fresh,)
    return (*probes, fresh)[-PROBES_KEPT:]


async def _everywhere(crew: Crew) -> list[float]:
    """A probe's seconds in every process."""
    probed = await asyncio.gather(*(crew.call(measure.probe, Kit.of(None)) for _ in range(crew.hands)))
    return [each.result for each in probed]


async def _in_new_process(scheme: Scheme, at: int) -> dict[str, Units]:
    fresh = Crew(1)
    try:
        if scheme in APPROXIMATE:
            return (await fresh.call(measure.measure_ckks, Kit.of(None), scheme)).result
        return (await fresh.call(measure.measure_bfv, Kit.of(None), at)).result
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
