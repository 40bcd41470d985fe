"""An enclave child that computes for ever as soon as it is asked for anything; else it is the real one."""

from __future__ import annotations

from typing import NoReturn

from nodes.enclave.child import main
from nodes.enclave.child.engine import Enclave


class BusyEnclave(Enclave):
    """Never offers a key."""

    def offer(self, nonce: bytes, contract: str, job: str) -> NoReturn:
        """Compute, as with a program that takes long."""
        while True:
            pass


if __name__ == "__main__":
    vars(main)["Enclave"] = BusyEnclave
    main.main()
