"""What renter and partner make of a model's job with all that reached them, the renter with its secret key.

Messages are recorded where they are taken, as the embedded broker or a RabbitMQ brought them. Beside each attack stands
a naive variant on which it succeeds. Attackers know the truth of KNOWN rows.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint.columns import Floats
from nodes.local import LocalNetwork
from nodes.partner.activities import collect
from nodes.renter.protections import joint as protection
from nodes.whole import write_whole
from tests.e2e.test_joint_models import fitted, submit
from tests.support import together as joint
from tests.support.rabbit_network import RabbitNetwork
from tests.support.together import Case

KNOWN = 40
ROWS = 320
"""Of the data: enough for the partner's 20 columns."""
WIDTH = 11
"""The hospital's columns and its label, which ride in one ciphertext."""


@dataclass
class Recording:
    """What a party received."""

    keys: list[PaillierSecret] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    moments: list[Floats] = field(default_factory=list)
    """The renter's, of each job: what its key makes of the answer, [the partner's columns, WIDTH]."""
    sealed: dict[str, bytes] = field(default_factory=dict)
    """The partner's, by the name of the file it keeps."""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return joint.make_breast(tmp_path_factory.mktemp("case"), ROWS)


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def networked(request: pytest.FixtureRequest, tmp_path: Path, case: Case) -> LocalNetwork:
    """With the partner's data, not yet entered."""
    partner = joint.local_partner(case, joint.policy(tmp_path), "move")
    if request.param == "embedded":
        return LocalNetwork(tmp_path / "network", partner=partner)
    return RabbitNetwork(request.getfixturevalue("rabbitmq"), tmp_path / "network", partner=partner)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recording:
    found, opening, keeping = Recording(), protection.JointProtection.open_moments, write_whole

    async def opened(
        self: protection.JointProtection, body: bytes, width: int, count: int, size_bits: int
    ) -> protection.OpenedMoments:
        outcome = await opening(self, body, width, count, size_bits)
        key = pickle.loads(self.kit.packed)
        assert isinstance(key, PaillierSecret)
        found.keys.append(key)
        found.bodies.append(body)
        found.moments.append(np.array(outcome.numbers))
        return outcome

    def kept(path: Path, raw: bytes) -> None:
        found.sealed[path.name] = raw
        keeping(path, raw)

    monkeypatch.setattr(protection.JointProtection, "open_moments", opened)
    monkeypatch.setattr(collect, "write_whole", kept)
    return found


def unmixed(seen: Floats, truth: Floats) -> float:
    """The attack: numbers per row are fitted to the truth of the known rows; the error at the others, in deviations."""
    held = np.column_stack([seen, np.ones(len(seen))])
    held = held / np.maximum(np.abs(held).max(axis=0), 1e-300)
    guess = held @ np.linalg.lstsq(held[:KNOWN], truth[:KNOWN], rcond=1e-12)[0]
    return float(np.sqrt(np.mean(((guess - truth) / truth.std(axis=0))[KNOWN:] ** 2)))


def read(seen: Floats, label: Floats) -> float:
    """The attack on labels: which part of those that are not known is guessed right."""
    held = np.column_stack([seen, np.ones(len(seen))])
    held = held / np.maximum(np.abs(held).max(axis=0), 1e-300)
    guess = held @ np.linalg.lstsq(held[:KNOWN], label[:KNOWN] * 2 - 1, rcond=1e-12)[0]
    return float(np.mean((guess > 0)[KNOWN:] == label[KNOWN:]))


def as_if_plain(public: PaillierPublic, bodies: list[bytes]) -> Floats:
    """Every ciphertext read as if it had no noise: 1 + n·m; [rows, WIDTH]."""
    layout, size = Layout.widest(public.bits, WIDTH), public.ciphertext_bytes
    ciphertexts = [int.from_bytes(body[at : at + size], "big") for body in bodies for at in range(0, len(body), size)]
    numbers = [each % (public.n * public.n) // public.n for each in ciphertexts]
    mask = (1 << layout.slot_bits) - 1
    half, top = 1 << (layout.slot_bits - 1), 1 << layout.slot_bits
    slots = [[float((each >> (layout.slot_bits * at)) & mask) for at in range(WIDTH)] for each in numbers]
    found = np.array(slots)
    return np.where(found >= half, found - top, found)


async def test_with_its_secret_key_the_renter_finds_no_row_of_the_partner(
    networked: LocalNetwork, case: Case, recorded: Recording
) -> None:
    """Of two jobs on the same rows, each under a rotation of its own."""
    async with networked as network:
        for algorithm in ("ridge", "logistic"):
            await fitted(network, await submit(network, case, algorithm))
    assert len(recorded.moments) == 2
    own = case.mine - case.mine.mean(axis=0)
    scaled = own / own.std(axis=0)
    seen = [scaled @ np.linalg.solve(scaled.T @ scaled, each.T) for each in recorded.moments]
    alone = unmixed(scaled, case.theirs)
    attacked = unmixed(np.hstack([scaled, *seen]), case.theirs)
    assert attacked > 0.99 * min(alone, 1.0)
    weights = np.random.default_rng(1).normal(size=(case.theirs.shape[1], case.theirs.shape[1]))
    standard = (case.theirs - case.theirs.mean(axis=0)) / case.theirs.std(axis=0)
    assert unmixed(standard @ weights, case.theirs) < 1e-6, "residuals of so many rounds tell all"


async def test_with_its_secret_key_the_renter_finds_no_more_in_the_answer_than_its_moments(
    networked: LocalNetwork, case: Case, recorded: Recording
) -> None:
    """The noise of ciphertexts is gone after decryption, but for what the partner put in: nothing rides above."""
    async with networked as network:
        few = {"renter_bits": 16, "partner_bits": 12}  # floats hold the moments exactly
        await fitted(network, await submit(network, case, "ridge", **few))
    (key,), (body,), (moments,) = recorded.keys, recorded.bodies, recorded.moments
    size = key.public.ciphertext_bytes
    numbers = [int.from_bytes(body[at : at + size], "big") for at in range(0, len(body), size)]
    assert len(numbers) == len(moments) == case.theirs.shape[1]
    layout = Layout.widest(key.public.bits, WIDTH)
    for plain, row in zip(key.decrypt_plaintexts(numbers), moments, strict=True):
        whole = sum(int(value) << (layout.slot_bits * at) for at, value in enumerate(row.tolist()))
        assert int(plain) % key.public.n == whole % key.public.n


@pytest.mark.parametrize("told", [True, False], ids=["its coefficients", "nothing"])
async def test_the_partner_reads_labels_only_as_well_as_what_it_is_told_predicts_them(
    networked: LocalNetwork, case: Case, recorded: Recording, told: bool
) -> None:
    async with networked as network:
        found = await fitted(network, await submit(network, case, "logistic", partner_coefficients=told))
    label = case.mine[:, -1]
    (key,) = recorded.keys
    bodies = [recorded.sealed[name] for name in sorted(recorded.sealed)]
    received = as_if_plain(key.public, bodies)
    assert received.shape == (len(label), WIDTH)
    majority = max(label[KNOWN:].mean(), 1 - label[KNOWN:].mean())
    slack = 2 / np.sqrt(len(label) - KNOWN)
    assert read(received, label) < majority + slack
    assert bool(found.part.weights) == told
    if told:
        scores = case.theirs @ np.array(list(found.part.weights.values()))
        assert read(np.column_stack([scores, received]), label) < read(scores[:, None], label) + slack
    naive = _without_noise(key.public, case)
    assert read(as_if_plain(key.public, naive), label) > 0.99, "ciphertexts without noise tell all"


def _without_noise(public: PaillierPublic, case: Case) -> list[bytes]:
    layout = Layout.widest(public.bits, WIDTH)
    rows: Any = np.round(case.mine / np.abs(case.mine).max(axis=0) * 30_000).astype(np.int64)
    packed = [sum(int(value) << (layout.slot_bits * at) for at, value in enumerate(row)) for row in rows.tolist()]
    return [
        ((1 + public.n * (each % public.n)) % (public.n**2)).to_bytes(public.ciphertext_bytes, "big") for each in packed
    ]
