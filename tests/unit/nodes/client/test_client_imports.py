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

with sublet.local(partner={"claims": sublet.Dataset(df, "patient", outliers="move")}) as net:
    fitted = net.fit_joint(df, "y", id="patient", algorithm="ridge", missing="mean")
    scores: Frame = fitted.predict(df, timeout=60, dataset="claims", aligned=True)
    auc = (fitted.score(df).auc or 0.0) + fitted.fit.rows + fitted.intercept + fitted.coefficients["a"]
    said = [(line.party, line.count) for line in fitted.ledger] + [fitted.at_partner.weights]
    net.fit_joint(df, "y", id="patient", algorithm="forest")
    bad: int = fitted.predict(df)
    sublet.Dataset(df, "patient", outliers="drop")

async def awaited() -> Frame:
    async with sublet.alocal(lessors=1, partner={"claims": sublet.Dataset(df, "patient")}) as net:
        more = await (await net.fit_joint(df, "y", id="patient")).predict(df)
        return more if await (await net.model("job-1")).intercept() else await (await net.submit(df, model)).result()
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
    wrong = [
        number
        for number, line in enumerate(USER.splitlines(), 1)
        if re.search('homomorph"|wrong:|reslt|forest|bad:|drop', line)
    ]
    assert [int(line.split(":")[1]) for line in errors] == wrong, ran.stdout + ran.stderr
    kinds = ["call-overload", "assignment", "attr-defined", "arg-type", "assignment", "arg-type"]
    assert [re.findall(r"\[([\w-]+)\]$", line)[0] for line in errors] == kinds


def test_a_checkout_and_a_wheel_have_the_same_types() -> None:
    assert (ROOT / "sublet-stubs" / "__init__.pyi").read_bytes() == (ROOT / "sublet.py").read_bytes()


def test_everything_offered_says_what_it_is() -> None:
    for name in sublet.__all__:
        assert inspect.getdoc(getattr(sublet, name)), name
    plain, awaited = (sublet.Network, sublet.Job, sublet.JointModel), (sublet.AsyncNetwork, sublet.AsyncJob)
    for kind in (*plain, *awaited, sublet.AsyncJointModel):
        for name, each in inspect.getmembers(kind):
            assert name.startswith("_") or inspect.getdoc(each), f"{kind.__name__}.{name}"


def test_every_wish_is_explained() -> None:
    for kind in (sublet.Wishes, sublet.FitWishes, sublet.ScoreWishes):
        text, inherited = inspect.getdoc(kind) or "", set(sublet.Wishes.__annotations__)
        own = kind.__annotations__ if kind is sublet.Wishes else set(kind.__annotations__) - inherited
        assert [name for name in own if not re.search(rf"\b{name}\b", text)] == []


def test_both_faces_offer_the_same() -> None:
    """But for what only one can: watching needs `async for`, and a property cannot be awaited."""
    for plain, awaited, only in (
        (sublet.Network, sublet.AsyncNetwork, set()),
        (sublet.Job, sublet.AsyncJob, {"watch"}),
        (sublet.JointModel, sublet.AsyncJointModel, {"watch"}),
    ):
        offered = [{name for name in dir(kind) if not name.startswith("_")} for kind in (plain, awaited)]
        assert offered[1] - offered[0] == only
        assert offered[0] - offered[1] <= {"id"}
