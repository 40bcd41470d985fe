"""The refusal check itself: every way in which a code is given is found, and only what a test names counts as named."""

from __future__ import annotations

import ast

import pytest

from tests.support.refusals import Trees, named, refusals

ERRORS = """
class Refused(Exception):
    def __init__(self, code: str, reason: str) -> None: ...

class Failed(Exception):
    def __init__(self, message: str, *, code: str) -> None: ...

class Turned(Refused):
    pass

class Told:
    order: str
    code: str
"""


def trees(**sources: str) -> Trees:
    return {f"{name}.py": ast.parse(source) for name, source in sources.items()}


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("raise Refused('no-bread', 'why it is')", {"no-bread"}),
        ("raise errors.Refused('no-bread', reason)", {"no-bread"}),
        ("raise Turned('no-bread', reason)", {"no-bread"}),
        ("raise Failed('no bread is here', code='no-bread')", {"no-bread"}),
        ("Told(order, 'no-bread')", {"no-bread"}),
        ("foreign(code='no-bread')", {"no-bread"}),
        ("Refused('a' if late else 'b', reason)", {"a", "b"}),
        ("Refused(code or 'b', reason)", {"b"}),
        ("Refused(f'oven-{end}', reason)", {"oven-*"}),
        ("NO_BREAD = 'no-bread'\nRefused(NO_BREAD, reason)", {"no-bread"}),
        ("class Code(StrEnum):\n    NO_BREAD = 'no-bread'", {"no-bread"}),
        ("class Lost(Exception):\n    code = 'no-bread'", {"no-bread"}),
        ("def refuse(code, reason): ...\nrefuse('no-bread', reason)", {"no-bread"}),
        ("class A:\n    def refuse(self, code): ...\na.refuse('no-bread')", {"no-bread"}),
        ("def lose(why):\n    raise Refused(why, '')\nlose('no-bread')", {"no-bread"}),
        ("def lose(why):\n    raise Refused(why, '')\ndef end(how):\n    lose(how)\nend('no-bread')", {"no-bread"}),
        ("def f():\n    why = 'no-bread'\n    raise Refused(why, '')", {"no-bread"}),
        ("def why():\n    return 'no-bread'\nRefused(why(), '')", {"no-bread"}),
        ("def objection():\n    return 'no-bread', 'a reason'\ncode, reason = objection()", {"no-bread"}),
        ("async def objection():\n    return 'no-bread', 'a reason'\ncode, reason = await objection()", {"no-bread"}),
        ("rules = (('a', 1), ('b', 2))\nfor code, holds in rules: ...", {"a", "b"}),
        ("for holds, code in [(1, 'a')]: ...", {"a"}),
        ("refusal = 'no-bread', 'see the log'", {"no-bread"}),
        ("Decision(refusal=('no-bread', 'see the log'))", {"no-bread"}),
        ("def reject(reason):\n    send({DEAD_REASON: reason[:9]})\nreject('no-bread')", {"no-bread"}),
    ],
)
def test_a_code_is_found_however_it_is_given(source: str, codes: set[str]) -> None:
    assert {each.code for each in refusals(trees(errors=ERRORS, source=source))} == codes


@pytest.mark.parametrize(
    "source",
    [
        "raise Refused(error.code, 'why')",
        "Failed('no-bread', code=error.code)",
        "def exits(code: int): ...\nexits(3)",
        "Told('no-bread')",
        "Refused('A sentence, not a code.', '')",
        "note('no-bread', reason='no-bread')",
        "if error.code == 'no-bread': ...",
    ],
)
def test_other_strings_are_no_codes(source: str) -> None:
    assert refusals(trees(errors=ERRORS, source=source)) == []


def test_a_code_is_told_with_each_place_where_its_string_stands() -> None:
    source = "Refused('no-bread', '')\n\ndef f():\n    Refused('no-bread', '')"
    found = refusals(trees(errors=ERRORS, source=source))
    assert [str(each) for each in found] == [f"source.py:{line}: no test names no-bread" for line in (1, 4)]


@pytest.mark.parametrize(
    ("test", "is_named"),
    [
        ("assert error.code == 'no-bread'", True),
        ("assert error.code == Code.NO_BREAD", True),
        ("assert error.code == NO_BREAD", True),
        ("assert error.code == port.NO_BREAD", True),
        ("'''A docstring about no-bread.'''", False),
        ("assert error.code == 'no-breads'", False),
        ("assert error.code == Code.OTHER", False),
    ],
)
def test_only_a_string_of_its_own_or_its_constant_names_a_code(test: str, is_named: bool) -> None:
    source = trees(
        errors=ERRORS,
        constant="NO_BREAD = 'no-bread'\nRefused(NO_BREAD, '')",
        enum="class Code(StrEnum):\n    NO_BREAD = 'no-bread'\n    OTHER = 'other'",
    )
    names = named(trees(test=test), source)
    assert [each.is_named(names) for each in refusals(source) if each.code == "no-bread"] == [is_named] * 2


def test_a_code_made_by_an_f_string_is_named_by_one_of_its_kind() -> None:
    (found,) = refusals(trees(errors=ERRORS, source="Refused(f'oven-{end}', '')"))
    assert found.is_named(frozenset({"oven-cold"}))
    assert not found.is_named(frozenset({"oven"}))
