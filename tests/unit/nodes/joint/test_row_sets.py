"""Groups of people that sums of several jobs would tell apart are large enough, or do not come about."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.joint import row_sets
from nodes.joint.errors import TooRevealing

MIN = 20
SEED = b"seed"


def people(*spans: tuple[int, int]) -> NDArray[np.uint64]:
    return np.concatenate([np.arange(*each, dtype=np.uint64) for each in spans])


CASES = {
    "first job": ((0, 100), [], 100),
    "the same": ((0, 100), [(0, 100)], 100),
    "ten new": ((0, 110), [(0, 100)], 100),
    "twenty new": ((0, 120), [(0, 100)], 120),
    "one less": ((1, 100), [(0, 100)], 80),
    "twenty less": ((20, 100), [(0, 100)], 80),
    "one less and ten new": ((1, 110), [(0, 100)], 80),
    "ten of them and many new": ((90, 200), [(0, 100)], 100),
    "ten of them": ((90, 100), [(0, 100)], 0),
    "few of few": ((1, 35), [(0, 35)], 0),
    "halves and ten new": ((0, 110), [(0, 50), (50, 100)], 100),
    "others": ((200, 300), [(0, 100)], 100),
    "a few others": ((200, 210), [(0, 100)], 0),
    "nobody": ((0, 0), [(0, 100)], 0),
}


@pytest.mark.parametrize("name", CASES)
def test_as_many_are_kept_as_show_nobody(name: str) -> None:
    span, earlier, expected = CASES[name]
    asked, sets = people(span), [people(each) for each in earlier]
    kept = row_sets.kept(asked, sets, MIN, SEED)
    assert int(kept.sum()) == expected
    if sets and expected:
        row_sets.require_groups(np.unique(asked[kept]), sets, MIN)


def test_nobody_is_told_by_any_number_of_jobs_on_any_rows_in_any_order() -> None:
    rng = np.random.default_rng(3)
    sets = list[NDArray[np.uint64]]()
    for job in range(12):
        asked = rng.permutation(people((0, 600)))[: rng.integers(1, 600)]
        if job % 3 == 0 and sets:  # nearly those of an earlier job
            asked = rng.permutation(np.unique(np.concatenate([sets[-1][rng.integers(0, 9) :], asked[:7]])))
        kept = asked[row_sets.kept(asked, sets, MIN, bytes((job,)))]
        if len(kept):
            sets.append(np.unique(kept))
            assert row_sets.smallest_group(sets) >= MIN
    assert len(sets) > 3


def test_who_is_left_out_is_the_seeds_choice_and_the_same_each_time() -> None:
    asked, sets = people((1, 100)), [people((0, 100))]
    drawn = {seed: row_sets.kept(asked, sets, MIN, seed).tobytes() for seed in (b"a", b"b", b"c")}
    assert len(set(drawn.values())) == 3
    assert row_sets.kept(asked, sets, MIN, b"a").tobytes() == drawn[b"a"]


def test_groups_that_are_too_small_already_are_refused() -> None:
    with pytest.raises(TooRevealing) as caught:
        row_sets.require_groups(people((0, 110)), [people((0, 100))], MIN)
    assert caught.value.code == "rows-too-alike"
    with pytest.raises(TooRevealing):
        row_sets.require_groups(people((0, 0)), [], MIN)
