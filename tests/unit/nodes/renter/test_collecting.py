"""What a lessor claims is believed only where it can be added up."""

from __future__ import annotations

import pytest

from nodes.renter.collecting import claimed_seconds
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
