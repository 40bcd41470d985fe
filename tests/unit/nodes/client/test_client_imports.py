"""`import sublet` brings nothing heavy; what it offers is typed, and says what it is."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import sublet

ROOT: Final = Path(sublet.__file__).parent
HEAVY: Final = {"numpy", "onnx", "onnxruntime", "pyarrow", "gmpy2", "phe", "pandas", "polars", "aio_pika", "skl2onnx"}
USER: Final = '''
import sublet

class Frame:
    """A table of some library."""

df, model = Frame(), sublet.linear({"a": 2.0}, bias=1.0)
with sublet.connect("node.toml") as net:
    job = net.submit(df, model, id="a", protection="auto", accept=["software-enclave"], columns=["a"])
    same: Frame = job.result(timeout=600)
    stages = {"running": job.status, "id": job.id}
    spent = job.cost.price + sum(offer.price or 0.0 for offer in net.quote(df, model).offers)
    net.submit(df, model, protection="homomorph")
    wrong: int = job.result()
    job.reslt()

async def awaited() -> Frame:
    async with sublet.alocal(lessors=1) as net:
        return await (await net.submit(df, model)).result()
'''


def test_importing_the_client_imports_nothing_heavy() -> None:
    look = "import sys, sublet; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert HEAVY & set(ran.stdout.split()) == set()


def test_a_users_file_is_checked_strictly(tmp_path: Path) -> None:
    """From outside of the checkout: types come as from an installed wheel, and say where the user is wrong."""
    (tmp_path / "user.py").write_text(USER)
    cache = ROOT / ".mypy_cache" / "user"
    command = (sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), "user.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    errors = [line for line in ran.stdout.splitlines() if ": error: " in line]
    wrong = [number for number, line in enumerate(USER.splitlines(), 1) if re.search('homomorph"|wrong:|reslt', line)]
    assert [int(line.split(":")[1]) for line in errors] == wrong, ran.stdout + ran.stderr
    assert [re.findall(r"\[([\w-]+)\]$", line)[0] for line in errors] == ["call-overload", "assignment", "attr-defined"]


def test_a_checkout_and_a_wheel_have_the_same_types() -> None:
    assert (ROOT / "sublet-stubs" / "__init__.pyi").read_bytes() == (ROOT / "sublet.py").read_bytes()


def test_everything_offered_says_what_it_is() -> None:
    for name in sublet.__all__:
        assert inspect.getdoc(getattr(sublet, name)), name
    for kind in (sublet.Network, sublet.Job, sublet.AsyncNetwork, sublet.AsyncJob):
        for name, each in inspect.getmembers(kind):
            assert name.startswith("_") or inspect.getdoc(each), f"{kind.__name__}.{name}"


def test_every_wish_is_explained() -> None:
    text = inspect.getdoc(sublet.Wishes) or ""
    assert [name for name in sublet.Wishes.__annotations__ if not re.search(rf"\b{name}\b", text)] == []


def test_both_faces_offer_the_same() -> None:
    """But for what only one can: watching needs `async for`, and a property cannot be awaited."""
    for plain, awaited, only in (
        (sublet.Network, sublet.AsyncNetwork, set()),
        (sublet.Job, sublet.AsyncJob, {"watch"}),
    ):
        offered = [{name for name in dir(kind) if not name.startswith("_")} for kind in (plain, awaited)]
        assert offered[1] - offered[0] == only
        assert offered[0] - offered[1] <= {"id"}
