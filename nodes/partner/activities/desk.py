"""What a partner's worker has at hand of a round: its integer program and its own part, made once."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nodes.crew.crew import Kit
from nodes.data.table import Table, open_table
from nodes.homomorphic.errors import Overflow
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.slots import Layout
from nodes.joint.alignment import Places
from nodes.joint.columns import Columns, Floats
from nodes.joint.files import IntegerFiles
from nodes.joint.masks import read_places
from nodes.joint.precision import renter_bits
from nodes.joint.records import Alignment
from nodes.joint.rotation import Room, Rotation, random_bytes, rotation
from nodes.kept import Kept
from nodes.partner.activities.scores import fixed, own_scores
from nodes.partner.activities.services import Services
from nodes.partner.activities.sums import TOTAL_BITS, Scales, Split, Sums, SumsKit, scales
from nodes.partner.errors import PartGone
from nodes.partner.protocol.records import Part, Round
from nodes.programs.check import check
from nodes.secrets import derived
from nodes.store.port import Store
from schemas.joint import JointRequested

ROUNDS_AT_HAND_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class RoundAtHand:
    """One round."""

    kit: SumsKit
    scales: Scales


@dataclass(frozen=True, slots=True)
class ModelAtHand:
    """What a model is fitted with, or rows are scored with."""

    request: JointRequested
    public: PaillierPublic
    sealing: Kit[PaillierPublic]
    fitted: Columns | None
    """The columns of a model to fit."""

    @classmethod
    def of(cls, request: JointRequested, files: IntegerFiles | None) -> ModelAtHand:
        """Of a request whose key was looked at."""
        public = PaillierPublic.from_bytes(request.public_key)
        return cls(request, public, Kit.of(public), None if files is None else files.read())

    @property
    def columns(self) -> Columns:
        """Of a model to fit."""
        assert self.fitted is not None
        return self.fitted

    def rotation(self, seed: bytes) -> Rotation:
        """Of this seed; raises Overflow."""
        columns, algorithm = self.columns, self.request.algorithm
        assert algorithm is not None
        key_bits, width = self.public.bits, self.request.received
        room = Room(Layout.widest(key_bits, width), 1 << (renter_bits(algorithm, key_bits, width) - 1))
        random = hashlib.shake_256(seed).digest(random_bytes(columns.width))
        return rotation(columns, algorithm.penalty_per_row * columns.rows, room, random)


async def model_of(store: Store, request: JointRequested) -> Part | None:
    """The part in the job that fitted the model to score with, where this partner has weights of it."""
    if request.score is None:
        return None
    model = (await store.get(request.score, ["part"])).get("part")
    known = isinstance(model, Part) and model.renter == request.introduction.renter and model.weights
    return model if known and isinstance(model, Part) else None


@dataclass(frozen=True, slots=True)
class Desk:
    """The rounds and models that this worker has at hand."""

    services: Services
    _rounds: Kept[RoundAtHand] = field(default_factory=lambda: Kept(ROUNDS_AT_HAND_MAX))
    _models: Kept[ModelAtHand] = field(default_factory=lambda: Kept(ROUNDS_AT_HAND_MAX))
    _scores: Kept[Floats] = field(default_factory=lambda: Kept(ROUNDS_AT_HAND_MAX))

    async def round(self, job: str, number: int) -> RoundAtHand:
        """A round that was opened.

        Raises:
            PartGone: it is not here any more.
            BadInput: the program has no room for it.
        """
        return await self._rounds.get(f"{job}/{number}", lambda: self._load(job, number))

    async def sealing(self, job: str) -> Kit[PaillierPublic]:
        """The renter's key of a model. Raises PartGone."""
        return (await self._model(job)).sealing

    async def columns(self, job: str) -> Columns:
        """A model's own columns. Raises PartGone."""
        return (await self._model(job)).columns

    async def rotation(self, job: str) -> Rotation:
        """A model's secret rotation, the same each time.

        Raises:
            PartGone: the part is over, and its secret erased.
            Overflow: not even a coarse one leaves room in the slots.
        """
        at_hand, secret = await self._model(job), await self.services.keys.joint(job)
        return await asyncio.to_thread(at_hand.rotation, derived(secret, "joint/rotation"))

    async def scores(self, job: str, rows: slice, bits: int) -> list[int]:
        """This partner's part of the scores of some of a job's rows, as round(y·2^bits).

        Raises:
            PartGone: the part is not here any more.
            Overflow: they leave no room.
        """
        own = await self._scores.get(job, lambda: self._load_scores(job))
        found = fixed(own[rows], bits)
        if found is None:
            raise Overflow("the scores leave no room", reached=1 << TOTAL_BITS, limit=1 << TOTAL_BITS)
        return found

    async def forget(self, job: str) -> None:
        """Drop an ended part's rounds and model, from the crew too."""
        self._scores.drop(job)
        if (model := self._models.drop(job)) is not None:
            await self.services.crew.forget(model.sealing)
        for name in self._rounds.names(f"{job}/"):
            if (kept := self._rounds.drop(name)) is not None:
                await self.services.crew.forget(kept.kit)

    async def _model(self, job: str) -> ModelAtHand:
        return await self._models.get(job, lambda: self._load_model(job))

    async def _load_model(self, job: str) -> ModelAtHand:
        request = (await self.services.store.get(job, ["request"])).get("request")
        if not isinstance(request, JointRequested):
            raise PartGone(f"no model of {job} is here")
        columns = None if request.algorithm is None else self.services.folder(job).columns
        return await asyncio.to_thread(ModelAtHand.of, request, columns)

    async def _load_scores(self, job: str) -> Floats:
        records = await self.services.store.get(job, ["request", "alignment"])
        request, masked = records.get("request"), isinstance(records.get("alignment"), Alignment)
        if not isinstance(request, JointRequested) or (model := await model_of(self.services.store, request)) is None:
            raise PartGone(f"no rows of {job} to score are here")
        folder = self.services.folder(job)

        def load() -> Floats:
            table = open_table(folder.table, folder.digest.read_text())
            return own_scores(table, read_places(folder.places) if masked else None, model)

        return await asyncio.to_thread(load)

    async def _load(self, job: str, number: int) -> RoundAtHand:
        records = await self.services.store.get(job, ["part", "request", f"round/{number}", "alignment"])
        part, request, current = (records.get(key) for key in ("part", "request", f"round/{number}"))
        if not isinstance(part, Part) or not isinstance(request, JointRequested) or not isinstance(current, Round):
            raise PartGone(f"round {number} of {job} is not here")
        masked = isinstance(records.get("alignment"), Alignment)
        return await asyncio.to_thread(self._made, request, part.rows, current, masked)

    def _made(self, request: JointRequested, rows: int, current: Round, masked: bool) -> RoundAtHand:
        folder = self.services.folder(request.job)
        split = Split.of(check(request.program, engine=False))
        table = open_table(folder.table, folder.digest.read_text())
        own = split.of_local(_column_sums(table, read_places(folder.places) if masked else np.arange(table.rows)))
        found = scales(split, own, rows, current.value_bits, current.result_bits)
        return RoundAtHand(Kit.of(Sums(request.public_key, found.program)), found)


def _column_sums(table: Table, places: Places) -> NDArray[np.float64]:
    """Of every column over some rows, [F]."""
    total, wanted = np.zeros(len(table.columns), dtype=np.longdouble), np.zeros(table.rows, dtype=np.bool_)
    wanted[places] = True
    for first, values in table.numbers():
        total += values[wanted[first : first + len(values)]].sum(axis=0, dtype=np.longdouble)
    return total.astype(np.float64)
