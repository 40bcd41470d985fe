"""The measurement of the software enclave: a hash of the code that a child runs. Reads files; may not do anything else.

It covers the sources of every package that a child imports, the versions of the libraries it computes and encrypts
with, and the Python version. Two installations of the same release on the same Python have the same measurement.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from nodes.enclave.agreement.labels import H

MEASURED_PACKAGES: Final = ("schemas", "nodes/enclave", "nodes/homomorphic", "nodes/programs")
MEASURED_FILES: Final = ("nodes/__init__.py", "nodes/inputs.py", "nodes/process.py")
"""Run by whoever imports a package below the first, and by the child itself."""
MEASURED_LIBRARIES: Final = ("cryptography", "gmpy2", "numpy", "onnx", "onnxruntime", "phe", "protobuf", "pyseccomp")


def code_root() -> Path:
    """The folder that holds the packages `nodes` and `schemas`."""
    return Path(__file__).resolve().parents[3]


def measurement(root: Path | None = None) -> bytes:
    """The measurement (64 bytes) of the code under `root`, by default that of this installation."""
    base = root or code_root()
    sources = [path for package in MEASURED_PACKAGES for path in (base / package).rglob("*.py")]
    sources += [base / name for name in MEASURED_FILES]
    files = [H("file", path.relative_to(base).as_posix(), path.read_bytes()) for path in sorted(sources)]
    libraries = [f"{name}=={version(name)}" for name in MEASURED_LIBRARIES]
    return H("measurement", platform.python_version(), H("libraries", *libraries), *files)
