"""What a partner answers is opened before anything is encrypted, and refused by the code of what is wrong with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from nodes.crew.crew import Kit, Worked
from nodes.crew.errors import HandLost
from nodes.renter.protections.joint import JointProtection, Moments, Totals
from schemas.errors import VerificationFailed

Opening = Callable[[JointProtection], Awaitable[object]]
OPENINGS: dict[str, tuple[Opening, Totals | Moments, type[Totals | Moments]]] = {
    "output": (lambda way: way.open_output(b"", 1, 0), Totals((3,)), Totals),
    "scores": (lambda way: way.open_scores(b"", [1], 0), Totals((3,)), Totals),
    "moments": (lambda way: way.open_moments(b"", 1, 1, 0), Moments([[3.0]]), Moments),
}


@dataclass
class Ahead:
    """A crew that takes only what goes ahead, and answers it."""

    answer: Totals | Moments
    deaths: int = 0
    """Processes that die of it, before one answers."""
    asked: list[str] = field(default_factory=list)

    @property
    def ahead(self) -> Desk:
        return Desk(self)


@dataclass
class Desk:
    of: Ahead

    async def call(self, task: Callable[..., Any], *_: object) -> Worked[Any]:
        self.of.asked.append(task.__name__)
        if len(self.of.asked) <= self.of.deaths:
            raise HandLost("the process that computed this ended with code -9")
        return Worked(self.of.answer, 0.5)


def way(crew: Ahead) -> JointProtection:
    unused: Any = None
    return JointProtection(unused, b"", unused, unused, crew, Kit.of(b"key"))  # type: ignore[arg-type]


@pytest.mark.parametrize("what", OPENINGS)
async def test_it_goes_ahead_of_everything_that_waits(what: str) -> None:
    opening, answer, _ = OPENINGS[what]
    crew = Ahead(answer)
    await opening(way(crew))
    assert len(crew.asked) == 1


@pytest.mark.parametrize("what", OPENINGS)
async def test_what_is_wrong_with_it_is_told_by_its_code(what: str) -> None:
    opening, _, kind = OPENINGS[what]
    with pytest.raises(VerificationFailed) as refused:
        await opening(way(Ahead(kind(code="wrong-shape", reason="it has another length"))))
    assert refused.value.code == "wrong-shape"


@pytest.mark.parametrize("what", OPENINGS)
async def test_the_partner_is_to_blame_only_for_what_kills_two_processes(what: str) -> None:
    opening, answer, _ = OPENINGS[what]
    await opening(way(Ahead(answer, deaths=1)))
    with pytest.raises(VerificationFailed) as refused:
        await opening(way(Ahead(answer, deaths=2)))
    assert refused.value.code == "ciphertext-invalid"
