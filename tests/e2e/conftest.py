"""What networks in the process of these tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas import limits

ADVERTISE_SECONDS = 0.25


@pytest.fixture(scope="module", autouse=True)
def _news_of_compute_travel_at_once() -> Iterator[None]:
    """A job that follows another at once may wait for word that what this one rented is free again: 5 s at worst.

    Processes of their own wait for it as long as ever.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "ADVERTISE_SECONDS", ADVERTISE_SECONDS)
        yield
