"""Two operators found a network with a broker each, and everybody else joins it with keys that nobody else ever sees.

An organisation with two lessors comes while a job runs, gets work under every protection, changes keys and passwords
during a job, and leaves; nothing is started again. On RabbitMQ, with a process per role; `make soak` sees to it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from schemas.ids import Address
from tests.support.newcomer import Newcomer, founded, lessors_of, opened, standing_still, submit, write_table
from tests.support.rabbitmq import Server, running

ROWS: Final = 20_000
OTHERS: Final = ("B11.B12", "B11.B13")
NEW: Final = ("B11.B14", "B11.B15")
BATCH_ROWS: Final = {"enclave": 50, "homomorphic": 235, "sealed-result": 235}
TOLERANCE: Final = 1e-2
BOTH: Final = ("--lessors-min", "2", "--lessors", "2")


def live(server: Server, folder: Path) -> None:
    """Raises AssertionError for the first thing that is not as it should be."""
    mail = folder / "mail"
    mail.mkdir()
    with founded(folder / "network", server, mail, "A11", "B11") as network:
        table = write_table(folder, ROWS)
        started = [network.start(role, f"{hub}.hub") for hub in ("A11", "B11") for role in ("hub", "bridge")]
        renting = Newcomer(network, Address("A11.A12"), mail, role="renter")
        renter = renting.join()
        others = [Newcomer(network, Address(address), mail, price="1.0") for address in OTHERS]
        started += [each.join() for each in others]
        newcomers = [Newcomer(network, Address(address), mail) for address in NEW]

        def job(protection: str) -> str:
            return submit(network, table, protection, BATCH_ROWS[protection], *BOTH)

        def lessors(job: str, expected: tuple[str, ...]) -> None:
            begin, found = time.monotonic(), lessors_of(network, job, ROWS, TOLERANCE)
            assert found == set(expected), (found, network.logs())
            print(f"{job} completed by {sorted(found)}, {time.monotonic() - begin:.1f} s", flush=True)

        under_way = job("enclave")
        network.until_parts(under_way, 3)
        started += [each.join() for each in newcomers]
        lessors(under_way, OTHERS)
        for protection in BATCH_ROWS:
            lessors(job(protection), NEW)
        for protection in BATCH_ROWS:
            under_way = job(protection)
            network.until_parts(under_way, 3)
            if protection == "enclave":
                with standing_still(renter):
                    for each in newcomers:
                        each.change()
            lessors(under_way, NEW)
        for each in newcomers:
            each.operator("remove", each.address, "--wait-seconds", "60")
        lessors(job("enclave"), OTHERS)
        assert not [left for each in newcomers for left in each.left()]
        assert all(process.poll() is None for process in (*started, renter)), network.logs()
        assert opened([renting, *others, *newcomers]) == []
        print(f"{len(list(mail.iterdir()))} files travelled, none opens anything", flush=True)
        for process in started[-len(NEW) :]:
            process.kill()


def main() -> int:
    """0: all is as it should be."""
    with running() as server, tempfile.TemporaryDirectory() as folder:
        live(server, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
