"""A submission's key: the same again is the same job, something else is refused, and a key goes with its job."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.renter.files.idempotency import KEY_CHARS_MAX, Keys, KeyTaken, Submitted, content_of
from nodes.renter.submission import JobOptions
from schemas.errors import BadConfig
from schemas.ids import derive_id
from schemas.jobs import JobSpec

JOB = derive_id("job", 1)
WISHES = JobOptions(protection="enclave")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "good.csv"
    path.write_text("a\n1\n")
    return path


def submitted(content: str) -> Submitted:
    return Submitted(job=JOB, content=content, spec=JobSpec(id=JOB, data="0" * 64, program="0" * 64))


def test_the_same_key_finds_what_was_submitted_under_it(keys: Keys) -> None:
    assert keys.find("nightly", "c") is None
    keys.keep("nightly", submitted("c"))
    assert keys.find("nightly", "c") == submitted("c")
    assert keys.find("weekly", "c") is None


def test_another_content_under_a_key_is_refused_with_the_job_that_has_it(keys: Keys) -> None:
    keys.keep("nightly", submitted("c"))
    with pytest.raises(KeyTaken, match=f"--key nightly is that of {JOB}, with other data"):
        keys.find("nightly", "d")


@pytest.mark.parametrize("key", ["", "a\nb", "x" * (KEY_CHARS_MAX + 1)], ids=["empty", "two lines", "long"])
def test_what_is_no_key_is_refused(keys: Keys, key: str) -> None:
    with pytest.raises(BadConfig, match="printable"):
        keys.find(key, "c")


def test_keys_of_jobs_that_are_gone_are_forgotten(keys: Keys) -> None:
    keys.keep("nightly", submitted("c"))
    keys.forget(lambda job: job == JOB)
    assert keys.find("nightly", "c") is not None
    keys.forget(lambda job: False)
    assert keys.find("nightly", "other content") is None


def test_whoever_submits_with_a_key_waits_for_whoever_does_so_already(tmp_path: Path) -> None:
    entered, inside = threading.Event(), list[str]()

    def second() -> None:
        entered.set()
        with Keys(tmp_path).locked():
            inside.append("second")

    with Keys(tmp_path).locked():
        waiting = threading.Thread(target=second)
        waiting.start()
        entered.wait()
        inside.append("first")
    waiting.join()
    assert inside == ["first", "second"]


@pytest.mark.parametrize(
    "change",
    [
        {"program": b"other"},
        {"local_program": b""},
        {"options": replace(WISHES, lessors=3)},
        {"options": replace(WISHES, columns=("a",))},
        {"text": "a\n2\n"},
    ],
    ids=["program", "local program", "wish", "columns", "data"],
)
def test_whatever_is_submitted_is_part_of_the_content(data: Path, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"program": b"program", "local_program": None, "options": WISHES}
    first = content_of(data, **given)
    assert content_of(data, **given) == first
    data.write_text(change.pop("text", data.read_text()))
    assert content_of(data, **(given | change)) != first


def test_data_that_cannot_be_read_has_no_content(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read"):
        content_of(tmp_path / "missing.csv", b"", None, WISHES)
