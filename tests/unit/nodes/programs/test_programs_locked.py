"""Checking and evaluating happen in a locked process: once imported, they open, import and start nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import numpy as np
from nodes.programs.build import aggregate_sum, linear_from_csv
from nodes.programs.check import check
from nodes.programs.runtime import evaluate
from schemas.errors import BadProgram

evaluate(check(aggregate_sum("warm up")), np.zeros((2, 1)))
program_bytes = linear_from_csv("name,p,q\\na,1,2\\nb,3,4\\nbias,5,6\\n")
refused = {"open", "import", "exec", "compile", "socket.__new__", "subprocess.Popen", "os.fork"}
refused |= {"_thread.start_new_thread"}
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args)[:80])) if event in refused else None)
print(evaluate(check(program_bytes), np.ones((2, 2))).tolist())
try:
    check(b"not a program")
except BadProgram as error:
    print(error)
print(seen)
"""


def test_nothing_is_opened_imported_or_started_after_the_first_program() -> None:
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.splitlines() == ["[[9.0, 12.0], [9.0, 12.0]]", "the program is not an ONNX file", "[]"]
