"""What a lessor refused last is in a file, whatever was refused, and a flood writes rarely."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.lessor.refusals import FILE, WRITE_SECONDS, Refusal, Refusals, last_refusal
from schemas.limits import REASON_CHARS_MAX


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_the_last_refusal_is_kept_and_a_flood_is_written_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    refusals = Refusals(tmp_path / "data", clock)
    assert last_refusal(tmp_path / "data") is None
    for number in range(3):
        await refusals.note("A11.A12", f"code-{number}", "<why>" * REASON_CHARS_MAX)
    kept = last_refusal(tmp_path / "data")
    assert kept is not None
    assert (kept.at, kept.source, kept.code, len(kept.reason)) == (clock.now, "A11.A12", "code-0", REASON_CHARS_MAX)
    clock.now += WRITE_SECONDS
    await refusals.note("A11.A13", "second-receipt", "")
    again = last_refusal(tmp_path / "data")
    assert again == Refusal(at=clock.now, source="A11.A13", code="second-receipt", reason="")
    assert [each.name for each in (tmp_path / "data").iterdir()] == [FILE]
    assert (tmp_path / "data" / FILE).stat().st_mode & 0o777 == 0o600


async def test_a_disk_that_fails_only_loses_it(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    await Refusals(tmp_path / "data", Clock()).note("A11.A12", "bad-terms", "why")
    assert last_refusal(tmp_path / "data") is None


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"at": 1}', b"\xff" * 100_000])
def test_a_file_that_is_none_says_nothing(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / FILE).write_bytes(raw)
    assert last_refusal(tmp_path) is None
