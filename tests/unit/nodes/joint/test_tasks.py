"""The tasks as crews run them: in other processes, their answers checked."""

from __future__ import annotations

import asyncio
import secrets

import gmpy2
import numpy as np
from gmpy2 import mpz

from nodes.crew.crew import Crew, Kit
from nodes.homomorphic.paillier.public import PaillierPublic
from nodes.homomorphic.paillier.secret import PaillierSecret
from nodes.joint import alignment, chunks, partner, renter
from nodes.joint.alignment import Masking


async def test_a_job_runs_in_the_processes_of_a_crew(secret: PaillierSecret) -> None:
    crew, public = Crew(1), secret.public
    kit = Kit.of(public)
    given, weights = np.arange(-9, 9).reshape(6, 3), np.array([[0, 1], [2, -3], [4, 5], [0, 0], [7, 1], [1, 1]])
    try:
        body = (await crew.call(PaillierPublic.encrypt_rows, kit, given)).result
        moments = (await crew.call(partner.cross_moments, kit, body, weights)).result
        turned = (await crew.call(partner.rotated, kit, moments, [[1, 2], [0, -5]])).result
        masking = Kit.of(Masking(secrets.token_bytes(32), bytes(32)))
        masks = (await asyncio.gather(*[crew.call(alignment.masked, masking, [each]) for each in ("a", "b")]))[1].result
        twice = (await crew.call(alignment.remasked, masking, masks)).result
        opened = (await crew.call(renter.opened, Kit.of(secret), turned, 3, 2, 12)).result
    finally:
        await crew.close()
    assert opened == (np.array([[1, 2], [0, -5]]) @ weights.T @ given).tolist()
    assert len(twice) == chunks.REMASKED_BYTES


def test_what_goes_to_the_renter_bears_full_noise(secret: PaillierSecret) -> None:
    """Powers of the key's noise base, of which rows and moments are made, all have the Jacobi symbol 1."""
    public = secret.public
    body = public.encrypt_rows(np.array([[5], [-7]]))
    moments = partner.cross_moments(public, body, np.array([[1], [2]]))
    turned = partner.rotated(public, moments, [[3]] * 40)
    numbers = [mpz.from_bytes(turned[at : at + 512], "big") for at in range(0, len(turned), 512)]
    assert gmpy2.jacobi(mpz.from_bytes(moments, "big"), public.n) == 1
    assert {gmpy2.jacobi(number, public.n) for number in numbers} == {-1, 1}
    assert set(map(tuple, renter.opened(secret, turned, 1, 40, 6))) == {(-27.0,)}
