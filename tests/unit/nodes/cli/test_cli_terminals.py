"""What stands on a terminal of 80 and of 120 columns: one screen each, no id cut, no word broken, nothing too wide."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.support.settled import Site, make_site
from tests.support.terminals import LINES, captured, faults, printed

COLUMNS: Final = (80, 120)
LISTS: Final = (
    ("A11.A12", ("job", "list")),
    ("A11.A12", ("order", "list")),
    ("B11.hub", ("order", "list")),
    ("A11.A12", ("receipt", "list")),
    ("B11.B12", ("receipt", "list")),
    ("A11.hub", ("receipt", "list")),
    ("A11.A12", ("account",)),
    ("A11.hub", ("market",)),
    ("A11.hub", ("network", "show")),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two jobs of two lessors each."""
    return make_site(tmp_path_factory.mktemp("site"), ("homomorphic", "enclave"))


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize(("node", "command"), LISTS, ids=[f"{' '.join(each)} at {node}" for node, each in LISTS])
def test_lists_fit_a_screen(
    site: Site, monkeypatch: pytest.MonkeyPatch, node: str, command: tuple[str, ...], columns: int
) -> None:
    arguments = [*command, *site.config(node)]
    lines, whole = (printed(arguments, each, monkeypatch) for each in (columns, None))
    assert faults(lines, columns) == []
    assert 0 < len(lines) < LINES
    assert broken(lines, whole) == set()


def test_a_wider_terminal_shows_more_columns(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["job", "list", *site.config("A11.A12")]
    narrow, wide = (printed(arguments, columns, monkeypatch)[0].split() for columns in COLUMNS)
    assert narrow[:2] == wide[:2] == ["job", "state"]
    assert set(narrow) < set(wide)
    assert "submitted" in narrow


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("command", ["explain", "show"])
@pytest.mark.parametrize("which", [0, 1], ids=["homomorphic", "enclave"])
def test_a_job_fits_a_screen(
    site: Site, monkeypatch: pytest.MonkeyPatch, command: str, which: int, columns: int
) -> None:
    arguments = ["job", command, site.jobs[which][:12], *site.config("A11.A12")]
    lines, whole = (printed(arguments, each, monkeypatch) for each in (columns, None))
    assert faults(lines, columns) == []
    assert 0 < len(lines) < LINES
    assert broken(lines, whole) == set()
    said = "\n".join(lines)
    assert ("job-completed: 40 rows" if command == "explain" else f"{site.jobs[which]}: completed, 40 rows") in said


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("command", ["explain", "show"])
def test_with_every_number_nothing_is_broken_either(
    site: Site, monkeypatch: pytest.MonkeyPatch, command: str, columns: int
) -> None:
    """What has no room, as a digest of a file in hexadecimal, runs over the edge."""
    arguments = ["job", command, site.jobs[0], *site.config("A11.A12"), "--verbose"]
    lines, whole = (printed(arguments, each, monkeypatch) for each in (columns, None))
    assert [each for each in faults(lines, columns) if not re.search(r"[0-9a-f]{64}", each)] == []
    assert broken(lines, whole) == set()


def test_a_real_terminal_gets_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["job", "explain", site.jobs[0], *site.config("A11.A12")]
    assert captured(arguments, 80) == printed(arguments, 80, monkeypatch)


def broken(lines: list[str], whole: list[str]) -> set[str]:
    """Words that are not in the output to a pipe, where no line has an end; times ago differ, and lines of tables."""
    known, found = (set(" ".join(each).replace("─", "").split()) for each in (whole, lines))
    return {each for each in found - known if not each.isdigit()}
