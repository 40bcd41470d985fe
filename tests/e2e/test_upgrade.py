"""A renter on the next release, a hub on this one, and a lessor that changes to the next in the middle of a job.

`make soak` does so with three organisations, in three orders, on both kinds of stores.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

import sublet
from tests.support.deployment import deployment
from tests.support.rabbitmq import Server
from tests.support.releases import THIS, next_release
from tests.support.upgrading import RENTER, Fleet, Jobs, accept, require_documented

pytestmark = pytest.mark.rabbitmq

ROLES: Final = {"A11.hub": "hub", RENTER: "renter", "A11.B12": "lessor"}
INIT: Final = ("--hubs", "A11", "--renter", RENTER, "--lessor", "A11.B12")
ROWS: Final = 600


def counted(store: Path, question: str) -> int:
    with closing(sqlite3.connect(store)) as connection:
        (count,) = connection.execute(question).fetchone()
    return int(count)


@pytest.mark.timeout(300)
def test_organisations_on_two_releases_notice_nothing_of_each_other(tmp_path: Path, rabbitmq: Server) -> None:
    following = next_release(tmp_path / "next")
    with deployment(tmp_path / "network", rabbitmq, *INIT) as network:
        accept(network, THIS, following)
        fleet = Fleet(network, ROLES)
        fleet.begin(1, {RENTER: following})
        with sublet.connect(network.config(RENTER)) as renter:
            jobs = Jobs(network, renter, lessors=1)
            jobs.run(1)
            running = jobs.running("enclave", ROWS)
            fleet.upgrade("A11.B12", following, lambda: next(running))
            running.close()
        fleet.require_alive()
        require_documented(fleet.dead_letters())
        store, hubs = (network.config(each).parent / "data" / "node.sqlite" for each in (RENTER, "A11.hub"))
        assert counted(store, "SELECT count(*) FROM migrations") == 2
        assert counted(hubs, "SELECT count(*) FROM migrations") == 1
        assert jobs.done.total() >= 2
