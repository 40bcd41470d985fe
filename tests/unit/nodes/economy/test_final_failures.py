"""That a batch fails everywhere takes two lessors' word, or the renter's own check: one alone ends no job."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from schemas.events import BatchFailed
from schemas.ids import address
from schemas.jobs import Batch
from tests.support.economy import Economy

ONE, TWO, THREE = (address("B11", f"B{number}") for number in (12, 13, 14))
BAD = 3
"""The batch that lessors say no enclave can compute."""


def network(lessors: int, saying: Collection[str], code: str = "bad-input") -> Economy:
    """Some of whose lessors call a batch final."""
    economy = Economy(lessors=lessors)

    def unfit(lessor: str, batch: Batch) -> BatchFailed | None:
        if lessor not in saying or batch.batch != BAD:
            return None
        return BatchFailed(batch=batch, code=code, reason="row 7 is no number", final=True)

    economy.unfit = unfit
    return economy


def test_one_lessor_of_two_ends_no_job_and_is_lost_when_the_other_computes_the_batch() -> None:
    economy = network(2, [ONE])
    job = economy.submit(rows=200)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason) == ("completed", "")
    assert (done.avoid, done.causes[0][0]) == ((ONE,), "wrong-verdict")


def test_two_lessors_that_agree_end_the_job_and_are_both_named() -> None:
    economy = network(2, [ONE, TWO])
    done = economy.finish(economy.submit(rows=200))
    assert (done.code, f"{ONE} and {TWO} say: row 7 is no number" in done.reason) == ("bad-input", True)


def test_where_there_is_one_lessor_the_renter_finds_its_bad_row_itself() -> None:
    economy = network(1, [ONE])
    economy.spoiled = lambda batch: "in rows 31 to 40: row 7, column 2 is no number" if batch == BAD else ""
    done = economy.finish(economy.submit(rows=200))
    assert (done.code, done.reason) == ("bad-data", "in rows 31 to 40: row 7, column 2 is no number")


def test_a_lessor_that_calls_a_good_batch_final_is_lost_and_the_batch_computed_by_the_renter() -> None:
    economy = network(2, [ONE])
    job = economy.submit(rows=200, lessors=1)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.reason) == ("completed", "")
    assert done.avoid == (ONE,)
    assert economy.progress(job).batches_done == 20


@pytest.mark.parametrize(("saying", "phase", "code"), [([ONE], "completed", ""), ([ONE, TWO], "failed", "enclave-cpu")])
def test_what_only_enclaves_fail_at_another_lessor_has_to_confirm(saying: list[str], phase: str, code: str) -> None:
    """It is rented for that, though the job wanted one."""
    economy = network(2, saying, "enclave-cpu")
    job = economy.submit(rows=200, lessors=1)
    done = economy.finish(job)
    assert (economy.progress(job).phase, done.code) == (phase, code)


def test_the_local_part_is_computed_once_though_a_batch_before_it_was_checked_here() -> None:
    economy = network(1, [ONE])
    computed: list[int] = []
    economy.spoiled = lambda batch: computed.append(batch) or ""  # type: ignore[func-returns-value]
    job = economy.submit(rows=200, local_share=0.2)
    economy.finish(job)
    assert len(computed) == len(set(computed))
    assert set(computed) >= {BAD, 16, 17, 18, 19}
