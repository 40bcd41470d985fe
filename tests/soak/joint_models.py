"""Joint models of real data beside pooled ones: `python -m tests.soak.joint_models adult diamonds --key-bits 2048`.

By hand, not part of `make soak`. A process per role on RabbitMQ, one lessor per core. Per model: the largest difference
of weights from scikit-learn's of all columns in one place, AUC and log loss beside those of that model and of a
logistic regression to the end, seconds, and of each party core-seconds, TCP bytes both ways and its largest process.
Packages with data are downloaded into `--data`. It ends with 1 where a model is further off than is allowed, or where
the size of the partner's answer depends on the rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import log_loss, mean_poisson_deviance, roc_auc_score

from nodes.joint import outliers
from nodes.joint.guards import Limits
from nodes.joint.models import MODELS
from nodes.joint.precision import partner_bits, partner_bits_for, renter_bits
from schemas.joint import Algorithm
from tests.soak.joint_data import ID, LABEL, LOADERS, DataSet
from tests.support.deployment import SUBLET, Deployment, deployment
from tests.support.rabbitmq import running

RENTER, PARTNER, LESSORS = "A11.A12", "C11.C12", ("B11.B12", "B11.B13")
INIT: Final = ("--hubs", "A11,B11,C11", "--links", "A11-B11,A11-C11", "--partner", PARTNER)
POLICY: Final = f"""
[[allow]]
renters = ["{RENTER}"]
datasets = ["rows", "others", "half"]
algorithms = ["*"]
per_row = true
"""
PENALTY_PER_ROW: Final = 1e-3
JOB_SECONDS_MAX: Final = 3600
"""Other work may have the machine's cores meanwhile."""
WEIGHTS_ERROR_MAX: Final = 1e-3
"""Of the largest weight, at the finest exponents that are asked for."""
AUC_FULL_MAX, AUC_POOLED_MAX = 0.015, 0.0005
HALVED_ROWS_MIN: Final = 10_000
"""The partner's answer to so many is held against that to half of them: few leave no room for another job."""
MIB: Final = 1024 * 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """Weights by column of all columns, `column=category` where it was text; and the constant."""

    weights: Mapping[str, float]
    constant: float

    def scores(self, columns: Floats) -> Floats:
        """Of rows of exactly these columns."""
        return np.asarray(columns @ np.array(list(self.weights.values())) + self.constant, dtype=np.float64)


def design(frame: pd.DataFrame, names: Sequence[str], fitted: pd.DataFrame) -> Floats:
    """Columns by the names that a joint model gives them; the baseline is the most frequent text of what was fitted."""
    kept: dict[str, list[str]] = {}
    for name in (each for each in names if each not in frame.columns):
        column, _, category = name.partition("=")
        kept.setdefault(column, []).append(category)
    made = []
    for name in names:
        column, _, category = name.partition("=")
        if name in frame.columns:
            made.append(frame[name].to_numpy(dtype=np.float64))
        elif category == "(rare)":
            usual = fitted[column].mode()[0]
            made.append((~frame[column].isin([*kept[column], usual])).to_numpy(dtype=np.float64))
        else:
            made.append((frame[column] == category).to_numpy(dtype=np.float64))
    return np.column_stack(made)


@dataclass(frozen=True, slots=True)
class Pooled:
    """What scikit-learn fits to all columns in one place, where rows stood alone to the same moved ones."""

    columns: Floats
    target: Floats
    penalty: float

    @classmethod
    def of(cls, data: DataSet, joint: Model, mine: int, bits: tuple[int, int]) -> Pooled:
        """`mine` of the model's columns are the renter's; of either's rows are moved that stand alone in its integers
        of so many bits."""
        columns = design(data.rows, list(joint.weights), data.rows)
        sides = [
            outliers.moved(each, size, data_penalty(data), Limits())[0]
            for each, size in zip((columns[:, :mine], columns[:, mine:]), bits, strict=True)
        ]
        target = MODELS[data.algorithm].target(data.rows[LABEL].to_numpy(dtype=np.float64))
        return cls(np.hstack(sides), target.values, data_penalty(data) * len(data.rows))

    @property
    def spread(self) -> Floats:
        """Standard deviations."""
        return np.asarray(self.columns.std(axis=0))

    @property
    def standard(self) -> Floats:
        """The columns standardised."""
        return np.asarray((self.columns - self.columns.mean(axis=0)) / self.spread)

    def weights(self) -> Floats:
        """By Ridge, of standardised columns."""
        model = Ridge(alpha=max(self.penalty, 1e-9 * len(self.target)), solver="cholesky")
        return np.asarray(model.fit(self.standard, self.target).coef_)

    def error(self, joint: Model) -> float:
        """The largest difference, as a part of the largest weight."""
        expected = self.weights()
        found = np.array(list(joint.weights.values())) * self.spread
        return float(np.abs(found - expected).max() / np.abs(expected).max())


def data_penalty(data: DataSet) -> float:
    """Per row."""
    return 0.0 if data.algorithm == "ols" else PENALTY_PER_ROW


def judged(data: DataSet, joint: Model, pooled: Pooled, report: Mapping[str, Any]) -> dict[str, float]:
    """Joint, pooled and full figures of the rows to score, where there are any, else of those that were fitted."""
    names, rows = list(joint.weights), data.rows if data.others is None else data.others
    columns, label = design(rows, names, data.rows), rows[LABEL].to_numpy(dtype=np.float64)
    first = columns @ (pooled.weights() / pooled.spread)
    scores = joint.scores(columns)
    if data.algorithm == "poisson":
        raw = (columns - columns.mean(axis=0)) / columns.std(axis=0)
        full = PoissonRegressor(alpha=PENALTY_PER_ROW * label.mean(), max_iter=1000).fit(raw, label)
        # Slope and intercept of the scores, which takes the scores of rows.
        refitted = PoissonRegressor(alpha=0, max_iter=1000).fit(scores[:, None], label)
        return {
            "deviance": mean_poisson_deviance(label, np.exp(scores - report["log_mean_excess"])),
            "deviance_uncorrected": mean_poisson_deviance(label, np.exp(scores)),
            "deviance_refitted": mean_poisson_deviance(label, refitted.predict(scores[:, None])),
            "deviance_full": mean_poisson_deviance(label, full.predict(raw)),
            "deviance_of_the_mean": mean_poisson_deviance(label, np.full(len(label), label.mean())),
        }
    if data.algorithm != "logistic":
        return {"r2": 1 - float(((label - scores) ** 2).sum() / ((label - label.mean()) ** 2).sum())}
    raw = design(data.rows, names, data.rows)
    means, spread = raw.mean(axis=0), raw.std(axis=0)
    full = LogisticRegression(C=1 / (PENALTY_PER_ROW * len(raw)), max_iter=1000, solver="newton-cholesky")
    full.fit((raw - means) / spread, data.rows[LABEL])
    chance = full.predict_proba((columns - means) / spread)[:, 1]
    logits = report["slope"] * (scores - report["intercept"]) + report["logit_at_mean"]
    return {
        "auc": roc_auc_score(label, scores),
        "auc_pooled_first_order": roc_auc_score(label, first),
        "auc_full": roc_auc_score(label, chance),
        "log_loss": log_loss(label, 1 / (1 + np.exp(-logits))),
        "log_loss_full": log_loss(label, chance),
    }


@dataclass(slots=True)
class Used:
    """What the processes of one party took so far; with `since` what they took meanwhile."""

    core_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    largest_mib: float = 0.0

    def since(self, before: Used) -> Used:
        """The largest process is the largest so far."""
        core = self.core_seconds - before.core_seconds
        return Used(core, self.bytes_in - before.bytes_in, self.bytes_out - before.bytes_out, self.largest_mib)

    def __str__(self) -> str:
        sizes = f"{self.bytes_in / MIB:,.2f} MiB in, {self.bytes_out / MIB:,.2f} out"
        return f"{self.core_seconds:.1f} core-s, {sizes}, largest process {self.largest_mib:,.0f} MiB"


def used(roots: Sequence[int]) -> Used:
    """Of these processes and all below them."""
    found = [each for root in roots for each in (psutil.Process(root), *psutil.Process(root).children(recursive=True))]
    total = Used()
    for each in found:
        times = each.cpu_times()
        total.core_seconds += times.user + times.system + times.children_user + times.children_system
        total.largest_mib = max(total.largest_mib, _high_water_mib(each.pid))
    for pid, bytes_out, bytes_in in connections():
        if pid in {each.pid for each in found}:
            total.bytes_out += bytes_out
            total.bytes_in += bytes_in
    return total


def connections() -> list[tuple[int, int, int]]:
    """Of every TCP connection: process, bytes sent and received."""
    lines = subprocess.run(["ss", "-tinpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = []
    for head, tail in zip(lines[::2], lines[1::2], strict=False):
        pid = re.search(r"pid=(\d+)", head)
        sizes = [re.search(rf"\b{name}:(\d+)", tail) for name in ("bytes_sent", "bytes_received")]
        if pid:
            found.append((int(pid[1]), *(int(each[1]) if each else 0 for each in sizes)))
    return found  # type: ignore[return-value]


def _high_water_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


@dataclass(slots=True)
class Site:
    """A network whose parties have a data set."""

    network: Deployment
    folder: Path
    parties: dict[str, list[int]] = field(default_factory=dict)

    def start(self, data: DataSet) -> None:
        """Lay the files down and start a process per role."""
        data.write(self.folder)
        data.halved.write(self.folder, "-half")
        config = self.network.config(PARTNER)
        (config.parent / "policy.toml").write_text(POLICY)
        text = config.read_text()
        for name, end in (("rows", ""), ("others", "-others"), ("half", "-half")):
            file = json.dumps(str(self.folder / f"theirs{end}.csv"))
            text += (
                f'\n[partner.datasets.{name}]\nfile = {file}\nid_column = "{ID}"\nmissing = "mean"\noutliers = "move"\n'
            )
        config.write_text(text)
        started = self.network.start_all()
        started["C11.hub"] = [self.network.start("hub", "C11.hub")]
        started[PARTNER] = [self.network.start("partner", PARTNER)]
        who = {"renter": [RENTER], "lessors": list(LESSORS), "partner": [PARTNER]}
        self.parties = {name: [each.pid for one in nodes for each in started[one]] for name, nodes in who.items()}

    def run(self, *asked: str) -> tuple[dict[str, Any], float, dict[str, Used]]:
        """A job to its end: its report, seconds, and what each party took."""
        before, began = {name: used(pids) for name, pids in self.parties.items()}, time.monotonic()
        job = self._told("job", "submit", *asked, *JOINT)["job"]
        report = self._told("job", "watch", job)
        if report["state"] != "completed":
            raise SystemExit(f"{report['code']}: {report['reason']}\n{self.at_partner('explain', job)}")
        seconds = time.monotonic() - began
        return report, seconds, {name: used(pids).since(before[name]) for name, pids in self.parties.items()}

    def at_partner(self, command: str, job: str) -> Any:
        """`sublet joint COMMAND JOB --json`."""
        return self._told("joint", command, job, at=PARTNER)

    def _told(self, *command: str, at: str = RENTER) -> Any:
        """What a command says as JSON; raises SystemExit with its reason where it says nothing."""
        whole = [*SUBLET, *command, "--config", str(self.network.config(at)), "--json"]
        done = subprocess.run(whole, capture_output=True, text=True, timeout=JOB_SECONDS_MAX, check=False)
        if not done.stdout:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)

    def answer_bytes(self, job: str) -> int:
        """Of what the partner sent of its columns' sums."""
        notes = [note for line in self._told("job", "explain", job) for note in line["notes"]]
        return next(int(each["details"]["bytes"]) for each in notes if each["kind"] == "round-answered")

    def model(self, report: Mapping[str, Any]) -> tuple[Model, int]:
        """Of both parties, and how many of its columns are the renter's."""
        out, job, part = self.folder / "weights.csv", report["job"], self.at_partner("show", report["job"])
        here = ("--config", str(self.network.config(RENTER)))
        self.network.sublet("job", "result", job, *here, "--out", str(out))
        with out.open(newline="") as file:
            found = {name: float(weight) for name, weight in list(csv.reader(file))[1:]}
        constant = found.pop("intercept") + part["offset"]
        return Model(found | part["weights"], constant), len(found)


JOINT: Final = (
    *("--partner", PARTNER, "--id-column", ID, "--label", LABEL),
    *("--accept-software-enclave", "--aligned"),
)


Sizes = tuple[int, int | None, int | None]
"""Bits of the key, of the renter's integers and of the partner's; None: the default."""


def bits_of(data: DataSet, sizes: Sizes, width: int) -> tuple[int, int]:
    """Of the integers here, of so many columns and the label, and at the partner."""
    key_bits, here, there = sizes
    agreed = Algorithm(name=data.algorithm, penalty_per_row=data_penalty(data), renter_bits=here, partner_bits=there)
    return renter_bits(agreed, key_bits, width), partner_bits(agreed, len(data.rows))


def fit_options(data: DataSet, sizes: Sizes) -> tuple[str, ...]:
    """Of a job that fits this data."""
    options = dict(zip(("--key-bits", "--bits", "--partner-bits"), sizes, strict=True))
    given = [text for name, size in options.items() if size is not None for text in (name, str(size))]
    penalty = ("--penalty", str(data_penalty(data)))
    return ("--algorithm", data.algorithm, *penalty, "--outliers", "move", *given)


def says_nothing_of_rows(site: Site, data: DataSet, sizes: Sizes, whole: int) -> bool:
    """Whether the partner's answer has as many bytes when half the rows are fitted."""
    report, *_ = site.run(str(site.folder / "mine-half.csv"), "--dataset", "half", *fit_options(data, sizes))
    half = site.answer_bytes(report["job"])
    print(f"  the partner's answer: {whole} bytes of {len(data.rows):,} rows, {half} of {len(data.halved.rows):,}")
    return whole == half


def fit(site: Site, data: DataSet, sizes: Sizes) -> tuple[Model, str, bool]:
    """One model: it, its job and whether it is near enough."""
    options = ("--dataset", "rows", *fit_options(data, sizes))
    report, seconds, taken = site.run(str(site.folder / "mine.csv"), *options)
    joint, mine = site.model(report)
    bits = bits_of(data, sizes, mine + 1)
    about, pooled = report["joint"]["fit"], Pooled.of(data, joint, mine, bits)
    error = pooled.error(joint)
    print(f"\n{data.name} {data.algorithm}: {len(data.rows):,} rows, {mine} + {len(joint.weights) - mine} columns")
    print(
        f"  key {sizes[0]}, integers of {bits[0]} and {bits[1]} bits; {seconds:.1f} s; "
        f"{about['moved']} rows moved here; load {psutil.getloadavg()[0]:.1f}"
    )
    print(f"  weights off by {error:.1e} of the largest; told: r2 {about['r2']:.4f}, here alone {about['alone']}")
    found = judged(data, joint, pooled, about)
    print("  " + ", ".join(f"{name} {value:.5f}" for name, value in found.items()))
    for name, each in taken.items():
        print(f"  {name:<8} {each}", flush=True)
    size = site.answer_bytes(report["job"])
    print(f"  the partner's answer: {size} bytes, {size / (len(joint.weights) - mine):.0f} for each of its columns")
    coarse = bits[1] < partner_bits_for(len(data.rows))
    good = data.algorithm == "logistic" or error < WEIGHTS_ERROR_MAX or coarse
    if "auc" in found:
        good &= abs(found["auc"] - found["auc_full"]) <= AUC_FULL_MAX
        good &= abs(found["auc"] - found["auc_pooled_first_order"]) <= AUC_POOLED_MAX
    return joint, report["job"], good


def score(site: Site, data: DataSet, joint: Model, job: str) -> bool:
    """The other rows, by a scoring job; whether its figures are those of the model's weights."""
    assert data.others is not None
    report, seconds, taken = site.run(str(site.folder / "mine-others.csv"), "--dataset", "others", "--score", job)
    told = report["joint"]["fit"]
    expected = roc_auc_score(data.others[LABEL], joint.scores(design(data.others, list(joint.weights), data.rows)))
    print(
        f"\n{data.name}: {told['scored']:,} rows scored in {seconds:.1f} s: auc {told['auc']:.5f}, "
        f"log loss {told['log_loss']:.5f}"
    )
    for name, each in taken.items():
        print(f"  {name:<8} {each}", flush=True)
    return bool(abs(told["auc"] - expected) < 1e-6)


def main() -> None:
    """Fit and score what is asked for; ends with 1 if anything is too far off."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.joint_models")
    parser.add_argument("names", nargs="*", default=list(LOADERS), choices=list(LOADERS))
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "sublet-soak-data")
    parser.add_argument("--key-bits", type=int, nargs="+", default=[2048])
    parser.add_argument("--bits", type=int)
    parser.add_argument("--partner-bits", type=int, nargs="+", default=[None])
    parser.add_argument("--algorithm", help="instead of the data set's own")
    asked = parser.parse_args()
    asked.data.mkdir(exist_ok=True)
    good = True
    with running() as server:
        for name in asked.names:
            data = LOADERS[name](asked.data)
            data = (
                data if asked.algorithm is None else DataSet(name, asked.algorithm, data.mine, data.rows, data.others)
            )
            with (
                tempfile.TemporaryDirectory() as folder,
                deployment(Path(folder) / "network", server, *INIT) as network,
            ):
                site = Site(network, Path(folder))
                site.start(data)
                for sizes in ((key, asked.bits, bits) for key in asked.key_bits for bits in asked.partner_bits):
                    joint, job, near = fit(site, data, sizes)
                    good &= near
                if not data.texts and len(data.rows) >= HALVED_ROWS_MIN:
                    good &= says_nothing_of_rows(site, data, sizes, site.answer_bytes(job))
                if data.others is not None:
                    good &= score(site, data, joint, job)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
