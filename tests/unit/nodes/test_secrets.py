"""What is derived of a job's secret: the same twice, and another for another purpose. (Kept and erased: `renter`.)"""

from __future__ import annotations

from nodes.secrets import derived


def test_what_is_derived_depends_on_secret_and_purpose_alone() -> None:
    made = {derived(secret, label) for secret in (b"a" * 32, b"b" * 32) for label in ("one", "two")}
    assert len(made) == 4
    assert derived(b"a" * 32, "one") in made
    assert len(derived(b"a" * 32, "one", 96)) == 96
