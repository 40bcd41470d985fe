"""What a lessor claims is believed only where it can be added up."""

from __future__ import annotations

import pytest

from nodes.crew.crew import Worked
from nodes.crew.errors import HandLost
from nodes.renter.activities.collect import claimed_seconds, survived
from nodes.renter.protections.ciphertext import Opened
from schemas.errors import VerificationFailed
from schemas.events import Event
from schemas.ids import address, derive_id


@pytest.mark.parametrize(
    ("claimed", "seconds"),
    [({"computeseconds": text}, 0.0) for text in ("nan", "inf", "-inf", "-1", "1e999", "", "much")]
    + [({}, 0.0), ({"computeseconds": "1.250000"}, 1.25)],
)
def test_seconds_that_a_lessor_claims_are_finite_and_not_negative(claimed: dict[str, str], seconds: float) -> None:
    event = Event(
        id="event",
        type="batch.completed",
        source=address("B11", "B12"),
        to=address("A11", "A12"),
        time=0.0,
        subject=derive_id("job", 1),
        data=None,
        body=b"",
        attributes=claimed,
    )
    assert claimed_seconds(event) == seconds


class Reading:
    """Reads a result in processes of which the first so many die."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    async def __call__(self) -> Worked[Opened]:
        self.deaths -= 1
        if self.deaths >= 0:
            raise HandLost("the process that computed this ended with code -9")
        return Worked(Opened(b"result"), 1.0)


@pytest.mark.parametrize("deaths", [0, 1])
async def test_one_death_of_a_process_is_not_the_lessors_fault(deaths: int) -> None:
    assert (await survived(Reading(deaths))).result.result == b"result"


async def test_a_result_that_kills_whoever_reads_it_is_refused() -> None:
    with pytest.raises(VerificationFailed) as refused:
        await survived(Reading(2))
    assert refused.value.code == "ciphertext-invalid"
