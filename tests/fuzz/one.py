"""Feeds one target in this process with atheris until time is up or it finds something: `python -m tests.fuzz.one`.

libFuzzer never returns: it ends the process, with status 0 when nothing was found.
"""

from __future__ import annotations

import sys
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import atheris

with atheris.instrument_imports(include=["broker", "nodes", "schemas"]):
    from tests.fuzz.mutate import mutated
    from tests.fuzz.targets import TARGETS

RSS_MIB_MAX = 2048
"""On top of what this process counts as its peak from its start: that of whatever started it."""
INPUT_SECONDS_MAX = 20


def main(name: str, seconds: int, folder: Path) -> None:
    """Feed `name` for so long; what it finds and keeps stands in `folder`."""
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": target.bytes_max,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": RSS_MIB_MAX + getrusage(RUSAGE_SELF).ru_maxrss // 1024,
        "artifact_prefix": f"{folder}/",
        "print_final_stats": 1,
        "verbosity": 1,
        "len_control": 0,
    }
    argv = [sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), str(corpus)]
    atheris.Setup(argv, target.run, custom_mutator=_models if name == "gate" else None)
    atheris.Fuzz()


def _models(data: bytes, bytes_max: int, seed: int) -> bytes:
    """One change in four by bytes, the others to the model."""
    changed = mutated(data, seed) if seed % 4 else None
    return changed if changed is not None and len(changed) <= bytes_max else bytes(atheris.Mutate(data, bytes_max))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
