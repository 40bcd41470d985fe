"""A partner's policy: what one rule allows whole is covered, and a refusal names the first thing that none allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.membership.settings import POLICY
from nodes.partner.policy import Asked, judge, read_policy
from schemas.errors import BadConfig

NOW = 1_800_000_000.0
DIGEST = "a" * 64
ASKED = Asked("A11.A12", "claims", ("age",), DIGEST, "", False, 100, 3, "psi", NOW)
RULE = f"""
[[allow]]
renters = ["A11.A12"]
datasets = ["claims"]
columns = ["age", "premium"]
programs = ["{DIGEST}"]
rows_min = 50
rounds_max = 3
alignment = ["psi"]
ids_max = 500
until = 2027-02-01T00:00:00Z
"""
"""NOW is in January 2027."""


def judged(tmp_path: Path, text: str, **changed: Any) -> str:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return judge(read_policy(path), replace(ASKED, **changed)).code


def test_a_request_within_a_rule_is_covered(tmp_path: Path) -> None:
    assert judged(tmp_path, RULE) == ""
    assert judged(tmp_path, RULE.replace(f'"{DIGEST}"', '"*"'), program="b" * 64) == ""
    assert judged(tmp_path, RULE.replace('columns = ["age", "premium"]', ""), columns=()) == ""


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"renter": "A11.A13"}, "unknown-renter"),
        ({"dataset": "other"}, "unknown-dataset"),
        ({"now": NOW + 90 * 86400}, "policy-expired"),
        ({"columns": ("age", "name")}, "column-not-allowed"),
        ({"columns": ()}, "column-not-allowed"),
        ({"program": "b" * 64}, "unknown-program"),
        ({"rows": 49}, "too-few-rows"),
        ({"rounds": 4}, "too-many-rounds"),
        ({"alignment": "digest"}, "alignment-not-allowed"),
        ({"rows": 501}, "too-many-ids"),
    ],
)
def test_what_no_rule_allows_is_refused_by_its_code(tmp_path: Path, changed: dict[str, Any], code: str) -> None:
    assert judged(tmp_path, RULE, **changed) == code


def test_two_rules_are_not_put_together(tmp_path: Path) -> None:
    other = RULE.replace(DIGEST, "b" * 64).replace("rounds_max = 3", "rounds_max = 9")
    assert judged(tmp_path, RULE + other, rounds=9) == "too-many-rounds"
    assert judged(tmp_path, RULE + other, rounds=9, program="b" * 64) == ""


def test_a_new_partner_allows_nobody(tmp_path: Path) -> None:
    assert judged(tmp_path, POLICY) == "unknown-renter"


@pytest.mark.parametrize(
    ("text", "field"), [("uncovered = 'allow'", "uncovered"), (RULE.replace("rows_min", "row_min"), "row_min")]
)
def test_a_typo_in_a_policy_names_the_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadConfig, match=field):
        judged(tmp_path, text)


@pytest.mark.parametrize(
    ("algorithms", "asked", "code"),
    [
        ('["ridge"]', "ridge", ""),
        ('["*"]', "poisson", ""),
        ('["ridge"]', "ols", "unknown-algorithm"),
        ("[]", "ridge", "unknown-algorithm"),
    ],
)
def test_a_model_needs_its_algorithm_in_the_policy_and_no_program(
    tmp_path: Path, algorithms: str, asked: str, code: str
) -> None:
    (tmp_path / "policy.toml").write_text(RULE.replace("programs =", f"algorithms = {algorithms}\nprograms ="))
    wanted = replace(ASKED, program="", algorithm=asked)
    assert judge(read_policy(tmp_path / "policy.toml"), wanted).code == code


@pytest.mark.parametrize(("consents", "code"), [("true", ""), ("false", "per-row-output")])
def test_results_of_single_rows_need_a_policy_that_says_so(tmp_path: Path, consents: str, code: str) -> None:
    rule = RULE.replace("programs =", f'algorithms = ["*"]\nper_row = {consents}\nprograms =')
    (tmp_path / "policy.toml").write_text(rule)
    wanted = replace(ASKED, program="", algorithm="ridge", per_row=True)
    assert judge(read_policy(tmp_path / "policy.toml"), wanted).code == code


@pytest.mark.parametrize(("per_row", "code"), [(True, ""), (False, "too-few-rows")])
def test_how_many_rows_an_output_rests_on_is_no_question_of_scores_of_single_rows(
    tmp_path: Path, per_row: bool, code: str
) -> None:
    rule = RULE.replace("programs =", 'algorithms = ["*"]\nper_row = true\nprograms =')
    (tmp_path / "policy.toml").write_text(rule)
    wanted = replace(ASKED, program="", algorithm="ridge", per_row=per_row, rows=1)
    verdict = judge(read_policy(tmp_path / "policy.toml"), wanted)
    assert (verdict.code, verdict.rows_min == 1) == (code, per_row)
