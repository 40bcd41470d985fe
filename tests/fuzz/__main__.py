"""Feeds every target, or those named, for so many seconds each: `python -m tests.fuzz [--seconds N] [TARGET …]`.

Prints executions and findings per target; exit 1 when there are findings. They stay under build/fuzz/<target>/.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

FOLDER = Path("build") / "fuzz"
SECONDS = 600
START_SECONDS_MAX = 120


def feed(name: str, seconds: int, folder: Path) -> tuple[int, list[Path], str]:
    """Executions, findings, and what the fuzzer said. A process of its own, because findings may end it."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.glob("*-*"))
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(seconds), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + START_SECONDS_MAX)
    said = ran.stderr + ran.stdout
    counted = re.search(r"number_of_executed_units: (\d+)", said)
    found = sorted(set(folder.glob("*-*")) - before)
    if ran.returncode and not found:
        found = [folder / f"exit-status-{ran.returncode}"]
    return int(counted[1]) if counted else 0, found, said


def main() -> int:
    """Exit 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="per target")
    parser.add_argument("targets", nargs="*", default=[], metavar="TARGET", help=", ".join(TARGETS))
    wished = parser.parse_args()
    names = wished.targets or list(TARGETS)
    unknown = sorted(set(names) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}")
    findings = 0
    for name in names:
        executions, found, said = feed(name, wished.seconds, FOLDER / name)
        print(f"{name:10} {executions:>12,} executions {len(found):>3} findings", flush=True)
        for path in found:
            print(f"  {path}\n{said[-4000:]}")
        findings += len(found)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
