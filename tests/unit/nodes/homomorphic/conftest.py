"""One key pair for all tests of this folder: making one takes a while, and every test may share it."""

from __future__ import annotations

import pytest

from nodes.homomorphic.paillier import secret as paillier
from nodes.homomorphic.paillier.secret import PaillierSecret


@pytest.fixture(scope="session")
def secret() -> PaillierSecret:
    return paillier.generate(2048)


@pytest.fixture(scope="session")
def other() -> PaillierSecret:
    return paillier.generate(2048)
