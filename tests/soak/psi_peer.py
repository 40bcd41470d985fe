"""Private set intersection by openmined-psi, which pins a protobuf that onnx cannot have: run by the Python of an
environment of its own, `python tests/soak/psi_peer.py IDS`. It is one-sided: only the client learns what is in common.
"""

from __future__ import annotations

import sys
import time

import private_set_intersection.python as psi  # type: ignore[import-not-found]


def main(count: int) -> None:
    """`count` ids at each side, half of them in common."""
    ours, theirs = ([f"person-{at}" for at in range(start, start + count)] for start in (0, count // 2))
    begin = time.process_time()
    client, server = psi.client.CreateWithNewKey(True), psi.server.CreateWithNewKey(True)
    setup = server.CreateSetupMessage(1e-9, count, theirs, psi.DataStructure.RAW)
    found = client.GetIntersection(setup, server.ProcessRequest(client.CreateRequest(ours)))
    seconds = time.process_time() - begin
    if len(found) != count // 2:
        raise SystemExit(f"{len(found)} in common, not {count // 2}")
    print(f"openmined-psi {psi.__version__}: {seconds:.0f} core-seconds, {2 * count / seconds:.0f} ids/s/core")


if __name__ == "__main__":
    main(int(sys.argv[1]))
