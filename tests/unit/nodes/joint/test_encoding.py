"""Text becomes columns of 0 and 1; what has too few rows has none of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.data.reading import Reading
from nodes.data.sources import open_source
from nodes.joint import encoding
from nodes.joint.categories import CATEGORIES_MAX, Categories, Encoding, Omitted, categories
from nodes.joint.encoding import encoding_of, laid_down, merged, one_hot, read_encoding, write_encoding
from schemas.errors import BadData

SUPPORT = 20


@pytest.mark.parametrize(
    ("counts", "names", "baseline"),
    [
        ({"a": 30, "b": 50}, ["a"], "b"),
        ({"b": 30, "a": 30, "c": 30}, ["a", "b"], "c"),
        ({"a": 50, "b": 12, "c": 12}, ["(rare)"], "a"),
        ({"a": 50, "b": 30, "c": 1}, ["(rare)"], "a"),
        ({"a": 30, "b": 19, "c": 19}, ["a"], None),
        ({"": 30, "a": 31}, [""], "a"),
    ],
    ids=["two", "as many", "rare together", "rare take the next", "rare are the most", "missing ones"],
)
def test_every_column_and_the_baseline_have_enough_rows(
    counts: dict[str, int], names: list[str], baseline: str | None
) -> None:
    found = categories("city", counts, SUPPORT)
    assert isinstance(found, Categories)
    assert found.names == tuple(f"city={each}" for each in names)
    assert found.baseline == baseline
    made = one_hot(found, [name for name, count in counts.items() for _ in range(count)])
    assert set(np.unique(made)) == {0.0, 1.0}
    assert (made.sum(axis=1) <= 1).all()
    assert min(*made.sum(axis=0), (made.sum(axis=1) == 0).sum()) >= SUPPORT


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"a": 5, "b": 4}, "no two categories of 20 rows"),
        ({"a": 500}, "no two categories of 20 rows"),
        ({"a": 500, "b": 19}, "no two categories of 20 rows"),
        ({f"{at:03}": SUPPORT for at in range(CATEGORIES_MAX + 1)}, "at most 256"),
    ],
    ids=["few rows", "one text", "one rare text", "too many"],
)
def test_what_cannot_be_encoded_is_omitted_with_the_reason(counts: dict[str, int], reason: str) -> None:
    found = categories("city", counts, SUPPORT)
    assert isinstance(found, Omitted)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("known", "row", "weight"),
    [
        (Categories(column="c", kept=("a",), baseline="b", rare=True), [0.0, 1.0], -1.0),
        (Categories(column="c", kept=("a",), baseline="b", rare=False), [0.0], 0.0),
        (Categories(column="c", kept=("a",), baseline=None, rare=False), [0.0], 0.0),
    ],
    ids=["as the rare ones", "as the baseline", "as the rare ones, which are the baseline"],
)
def test_a_text_that_was_not_there_counts(known: Categories, row: list[float], weight: float) -> None:
    assert one_hot(known, ["new"]).tolist() == [row]
    weights, other = known.weights({"c=a": 2.0, "c=(rare)": -1.0})
    assert (weights["a"], other) == (2.0, weight)
    assert weights.get("b", 0.0) == 0.0


def table_of(folder: Path, rows: list[str], header: str = "id,age,city,sick") -> Path:
    path = folder / "data.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_has_numbers_then_what_text_became_then_the_label(tmp_path: Path) -> None:
    rows = [f"{at},{at % 7},{'Rome' if at % 3 else 'Bern'},{at % 2}" for at in range(90)]
    source, reading = open_source(table_of(tmp_path, rows)), Reading("id")
    found = encoding_of(source, reading, "sick", SUPPORT)
    table = laid_down(found, tmp_path / "table", source, reading)
    assert table.columns == ("age", "city=Bern", "sick")
    assert table.known.taken == ("age", "city", "sick")
    assert table.read(0, 4).tolist() == [[0, 1, 0], [1, 0, 1], [2, 0, 0], [3, 1, 1]]
    write_encoding(tmp_path / "encoding.json", found)
    assert read_encoding(tmp_path / "encoding.json") == found
    (tmp_path / "encoding.json").write_text("{}")
    with pytest.raises(BadData, match="damaged"):
        read_encoding(tmp_path / "encoding.json")


def test_missing_text_is_refused_with_its_row_or_a_category_of_its_own(tmp_path: Path) -> None:
    rows = [f"{at},{at},{'' if at % 2 else 'Bern'},0" for at in range(60)]
    source = open_source(table_of(tmp_path, rows))
    found = encoding_of(source, Reading("id"), "sick", SUPPORT)
    with pytest.raises(BadData, match="row 2, column 'city': the text is missing"):
        laid_down(found, tmp_path / "refused", source, Reading("id"))
    table = laid_down(found, tmp_path / "table", source, Reading("id", missing="mean"))
    assert table.columns == ("age", "city=Bern", "sick") or table.columns == ("age", "city=", "sick")


def test_text_of_too_many_kinds_is_not_counted_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "TEXTS_MAX", 10)
    source = open_source(table_of(tmp_path, [f"{at},1,c{at},0" for at in range(60)]))
    (omitted,) = encoding_of(source, Reading("id"), "sick", SUPPORT).omitted
    assert "more than 10 different texts" in omitted.reason


def test_a_column_that_is_called_as_a_category_is_refused(tmp_path: Path) -> None:
    rows = [f"{at},{at},{'Rome' if at % 3 else 'Bern'},0" for at in range(90)]
    source = open_source(table_of(tmp_path, rows, "id,city=Bern,city,sick"))
    with pytest.raises(BadData, match="whose text becomes one"):
        encoding_of(source, Reading("id"), "sick", SUPPORT)


def test_categories_that_too_few_of_the_rows_in_common_have_count_as_the_baseline() -> None:
    texts = (Categories(column="c", kept=("a", "b"), baseline="d", rare=False),)
    known = Encoding(numbers=("n",), texts=texts, label=("l",), support=SUPPORT)
    values = np.zeros((100, 4))
    values[:19, :] = 1.0
    values[19:39, 2] = 1.0
    found = merged(known, range(4), values)
    assert found.sum(axis=0).tolist() == [19.0, 0.0, 39.0, 19.0]
    assert merged(known, range(1, 2), values[:, 1:2]).sum() == 0.0
    assert values[:19, 1].all()
