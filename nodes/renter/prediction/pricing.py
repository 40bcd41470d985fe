"""Prices everything that a job's assessment may choose: units measured, a batch rehearsed, the work counted (A1)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from nodes.crew.crew import Crew, Kit
from nodes.data.table import Table
from nodes.homomorphic import costs, schemes
from nodes.homomorphic.costs import Units
from nodes.programs.program import Program
from nodes.protections import SEALED, asked
from nodes.renter.prediction import calibration, predict
from nodes.renter.prediction.encodings import Encoding
from nodes.renter.prediction.predict import Size
from nodes.renter.prediction.rehearsal import CiphertextScore, EnclaveScore, rehearse_ciphertext, rehearse_enclave
from nodes.renter.protocol.assess import rented_rows, sealing_scheme
from nodes.renter.protocol.records import Facts
from nodes.renter.protocol.split import rows_per_batch
from schemas.jobs import Costs, JobSpec


@dataclass(frozen=True, slots=True)
class Pricing:
    """Of one job, in a crew on this machine."""

    spec: JobSpec
    table: Table
    program: Program
    rest: Program | None
    """What follows here on results of ciphertexts, where the program is cut."""
    crew: Crew
    measured: Path
    """The calibration's file."""
    sealing: bool = False
    """Price sealed results though the job's wishes do not choose them."""

    async def priced(self, facts: Facts, encodings: list[Encoding]) -> Facts:
        """With the predicted costs of every candidate that can be chosen."""
        spec, usable = self.spec, [each for each in encodings if not each.refused]
        wanted = self.sealing or asked(spec.protection) is SEALED or spec.decrypt_seconds_max is not None
        sealing = wanted and not facts.no_enclave
        names = [each.kind for each in usable] + ([sealing_scheme(spec)] if sealing else [])
        units = await calibration.units(self.crew, self.measured, names) if names else {}
        size = Size(
            rows=rented_rows(spec, facts.rows),
            width_in=facts.width_in,
            width_out=facts.width_out,
            hands=self.crew.hands,
            lessors=spec.lessors,
            value_bytes=self.program.travels.itemsize,
        )
        predicted = {each.scheme: await self._on_ciphertext(size, each, units) for each in usable}
        known = tuple(structs.replace(each, costs=predicted.get(each.scheme)) for each in facts.schemes)
        facts = structs.replace(facts, schemes=known)
        return facts if facts.no_enclave else await self._in_enclaves(facts, size, units, sealing=sealing)

    async def _on_ciphertext(self, size: Size, encoding: Encoding, units: Mapping[str, Units]) -> Costs:
        each, fixed, program = encoding.rows_each, encoding.fixed_point, encoding.program
        assert fixed is not None
        assert program is not None
        cut = predict.batches(size, each)
        work = await asyncio.to_thread(costs.count, encoding.scheme, program, cut, encoding.shape.slots)
        rest, approximate = self.rest.canonical if self.rest else b"", encoding.shape.relative_error > 0
        score = CiphertextScore(self.table, fixed, program, approximate, rest)
        parts = await self.crew.call(rehearse_ciphertext, Kit.of(score), self._middle(each), each)
        size, exact = replace(size, batches=_number(cut)), self.spec.noise == "exact"
        return predict.homomorphic(size, work, units[encoding.kind], parts.result, encoding.shape, exact=exact)

    async def _in_enclaves(self, facts: Facts, size: Size, units: Mapping[str, Units], *, sealing: bool) -> Facts:
        each = rows_per_batch(self.spec, facts.rows, facts.width, self.spec.lessors, row_elements=facts.row_elements)
        score, cut = EnclaveScore(self.table, self.program.canonical), predict.batches(size, each)
        parts = await self.crew.call(rehearse_enclave, Kit.of(score), self._middle(each), each)
        size = replace(size, batches=_number(cut))
        plain = predict.enclave(size, parts.result)
        if not sealing:
            return structs.replace(facts, enclave=plain)
        scheme = sealing_scheme(self.spec)
        shape = schemes.shape(scheme)
        work = costs.count_sealed(facts.width_out, cut, shape.slots, sum_rows=facts.sum_rows)
        sealed = predict.sealed_result(size, plain, work, units[scheme], ciphertext_bytes=shape.ciphertext_bytes)
        return structs.replace(facts, enclave=plain, sealed_result=sealed)

    def _middle(self, rows_each: int) -> int:
        """First row of a batch from the middle of the input."""
        return self.table.rows // 2 // rows_each * rows_each


def _number(cut: list[tuple[int, int]]) -> int:
    return sum(number for number, _ in cut)
