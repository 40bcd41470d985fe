"""Hubs of their own for each test."""

from __future__ import annotations

import pytest

from tests.unit.nodes.hub.subnets import SUBNETS
from tests.unit.nodes.hub.world import World


@pytest.fixture
def world() -> World:
    return World(SUBNETS)
