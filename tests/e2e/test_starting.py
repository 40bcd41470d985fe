"""A hub among many becomes ready as a process of its own. How long one among 1,000 takes: `tests/soak/starting.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.starting import hub, ready
from tests.support.rabbitmq import Server

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(120)]


def test_a_hub_founded_among_many_becomes_ready(tmp_path: Path, rabbitmq: Server) -> None:
    with hub(tmp_path, rabbitmq, 20) as config:
        ready("hub", config)
