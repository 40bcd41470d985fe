"""What somebody gets wrong who tries two tables for the first time: told before anything runs, with what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nodes.cli.main import main
from tests.support import together as joint
from tests.support.together import Case

FIT = ("--algorithm", "logistic", "--label", "malignant", "--key-bits", "2048")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Two files in the working folder; the insurer's ids have another name, and it lacks twenty."""
    monkeypatch.chdir(tmp_path)
    case = joint.make_breast(tmp_path)
    header, *rows = case.partner.read_text().splitlines()
    case.partner.write_text("\n".join([header.replace("id,", "person,", 1), *rows[20:]]) + "\n")
    return case


def run(*options: str) -> int:
    ids = ("--id-column", "id", "--joint-id-column", "person")
    return main(["run", "hospital.csv", "--joint", "insurer.csv", *ids, *options])


def changed(path: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """A table's file, changed in one place."""
    change(pd.read_csv(path, dtype={"id": str, "person": str})).to_csv(path, index=False)


def without(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """With one value missing."""
    return table.assign(**{column: table[column].where(table.index != 7)})


SLIPS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "label of another name": ("hospital", lambda t: t.rename(columns={"malignant": "Malignant"}), "mean 'Malignant'?"),
    "label there": (
        "hospital",
        lambda t: t.drop(columns="malignant").assign(x=1),
        "is a column of insurer.csv, not of",
    ),
    "label there too": ("insurer", lambda t: t.assign(malignant=0), "insurer.csv has the label 'malignant' too"),
    "three classes": ("hospital", lambda t: t.assign(malignant=[0, 1, 2] + [0] * (len(t) - 3)), "not 0, 1, 2: write"),
    "one class": ("hospital", lambda t: t.assign(malignant=1), "not 1: write"),
    "label of text": ("hospital", lambda t: t.assign(malignant="yes"), "the label 'malignant' of hospital.csv is text"),
    "label missing": ("hospital", lambda t: without(t, "malignant"), "the label 'malignant' is missing in 1 of 569"),
    "value missing": (
        "hospital",
        lambda t: without(t, "area_error"),
        "row 8, column 'area_error': the value",
    ),
    "id twice": ("hospital", lambda t: t.assign(id=["x", "x", *t["id"][2:]]), "column 'id': 1 of 569 ids were there"),
    "id twice there": ("insurer", lambda t: t.assign(person=["x", "x", *t["person"][2:]]), "row 2 in row 1"),
    "id empty": ("insurer", lambda t: without(t, "person"), "insurer.csv, column 'person': 1 of 549 rows have no id"),
    "no id there": ("insurer", lambda t: t.rename(columns={"person": "member"}), "say --joint-id-column"),
    "capital ids": ("insurer", lambda t: t.assign(person=t["person"].str.upper()), "small and capital letters"),
    "spaces": ("insurer", lambda t: t.assign(person=t["person"] + " "), "spaces around them"),
    "other prefix": ("insurer", lambda t: t.assign(person="P" + t["person"].str[8:]), "around their digits"),
    "strangers": ("insurer", lambda t: t.assign(person=[f"x{'y' * at}" for at in range(len(t))]), "the first there"),
    "one row": ("hospital", lambda t: t.head(1), "of 1 and 549; 20 are the least"),
    "too few rows": (
        "hospital",
        lambda t: t.head(170),
        "10 columns and the label here and 20 columns there",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_a_newcomer_may_get_wrong_is_told_before_anything_runs(
    case: Case, capsys: pytest.CaptureFixture[str], slip: str
) -> None:
    name, change, said = SLIPS[slip]
    changed(f"{name}.csv", change)
    if slip == "label there":
        changed("insurer.csv", lambda table: table.assign(malignant=0))
    assert run(*FIT) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--joint", "hospital.csv"), "name the other party's table"),
        (("--score", "nowhere.csv"), "nowhere.csv for --score"),
        (("--score", "hospital.csv", "--score-joint", "nowhere.csv"), "nowhere.csv for --score-joint"),
        (("--score-joint", "insurer.csv"), "name them by --score"),
        (("--score", "insurer.csv"), "insurer.csv has no column 'radius_error'"),
        (("--score", "hospital.csv", "--score-joint", "hospital.csv"), "hospital.csv has no column 'mean_radius'"),
        (("--score", "strangers.csv"), "none of the 1 rows of strangers.csv is in insurer.csv"),
        (("--score", "hospital.csv", "--no-partner-coefficients"), "a partner that knows its weights"),
    ],
    ids=["same file", "no rows", "no other rows", "half", "other columns", "swapped", "strangers", "withheld"],
)
def test_files_that_do_not_fit_are_told_before_anything_runs(
    case: Case, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    lines = case.renter.read_text().splitlines()
    Path("strangers.csv").write_text(f"{lines[0]}\nx{lines[1]}\n")
    assert run(*FIT, *options) == 2
    assert said in capsys.readouterr().err
