"""One key pair for all tests of this folder."""

from __future__ import annotations

import pytest

from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret


@pytest.fixture(scope="session")
def secret() -> PaillierSecret:
    return paillier.generate(2048)
