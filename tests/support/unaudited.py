"""A renter that opens results without their audit, and is otherwise as ours. Crews import it, so it is a module."""

from __future__ import annotations

import pytest

from nodes.homomorphic.audit import Auditor, Expected
from nodes.renter.protections import ciphertext
from nodes.renter.protections.ciphertext import Decrypted, Plan
from schemas.jobs import Batch


def decrypt(plan: Plan, batch: Batch, body: bytes, expected: Expected | None) -> Decrypted:
    """As `nodes.renter.protections.ciphertext.decrypt`; whatever was computed counts as honest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Auditor, "honest", lambda *given: True)
        return ciphertext.decrypt(plan, batch, body, expected)
