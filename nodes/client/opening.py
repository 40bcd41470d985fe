"""The ways in: a running network or one of your own, in plain calls or awaited."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from nodes.client.errors import unfit
from nodes.client.network import Opening
from nodes.client.partners import Dataset, require_datasets
from nodes.client.places import Alone, Running
from nodes.client.sync import Network
from schemas.limits import LESSORS_PER_JOB_MAX

LESSORS: Final = 2


def connect(config: str | os.PathLike[str]) -> Network:
    """Open a running network from a renter's folder, as `sublet job …  --config FILE` does.

    Jobs are done by the renter's own workers (`sublet renter`), which share that folder: they go on when this process
    ends, and `net.job(id)` finds them again. The broker is asked only when a job is submitted or cancelled.

    Args:
        config: the renter's `node.toml`. `SUBLET_*` variables win over what it says.

    Raises:
        BadConfig: a field is missing, unknown or out of range; names it.
        StoreFailed: the renter's store cannot be opened.

    Example:
        >>> import sublet
        >>> with sublet.connect("node.toml") as net:
        ...     job = net.submit(df, estimator, id="patient", protection="auto", accept=["software-enclave"])
        ...     scores = job.result(timeout=600)  # the same kind of table as df, in its order

        From another notebook, on another day:

        >>> with sublet.connect("node.toml") as net:
        ...     scores = net.job("job-…").result()
    """
    return Network(aconnect(config))


def local(*, lessors: int = LESSORS, partner: Mapping[str, Dataset] | None = None) -> Network:
    """Open a whole network in this process: two hubs, a renter and lessors, to try things out.

    With a partner's tables it has a third hub and that partner, for `fit_joint`; its policy allows everything, and what
    keeps single rows from showing holds as anywhere.

    Its enclaves are software, on this machine: they show how it works and keep nothing from its owner. It ends, with
    its jobs and files, when it is closed or this process ends; files of one that was killed go when the next is opened.

    Args:
        lessors: how many, from 1 to 64.
        partner: its tables, by the names that it calls them.

    Raises:
        BadConfig: `lessors` is no such number, or `partner` no tables by name.
        BadData: a table of the partner's cannot be read, or has no such column of ids.

    Example:
        >>> import sublet
        >>> with sublet.local() as net:
        ...     scores = net.submit(df, estimator).result()

        With the tables of two parties:

        >>> with sublet.local(partner={"claims": sublet.Dataset(insurer, "patient")}) as net:
        ...     model = net.fit_joint(hospital, "malignant", id="patient")
        ...     model.coefficients, model.fit.r2, model.ledger
        ...     scores = model.predict(new)
    """
    return Network(alocal(lessors=lessors, partner=partner))


def aconnect(config: str | os.PathLike[str]) -> Opening:
    """As `connect`, for asyncio: `async with sublet.aconnect("node.toml") as net`, or `net = await …`.

    The network is an `AsyncNetwork`: what it and its jobs do is awaited.
    """
    try:
        return Opening(partial(Running.open, Path(config)))
    except TypeError as error:
        raise unfit("config", config, "the path of the renter's node.toml") from error


def alocal(*, lessors: int = LESSORS, partner: Mapping[str, Dataset] | None = None) -> Opening:
    """As `local`, for asyncio: `async with sublet.alocal() as net`, or `net = await …`."""
    if isinstance(lessors, bool) or not hasattr(lessors, "__index__") or not 1 <= lessors <= LESSORS_PER_JOB_MAX:
        raise unfit("lessors", lessors, f"a whole number from 1 to {LESSORS_PER_JOB_MAX}")
    datasets = {} if partner is None else require_datasets(partner)
    return Opening(partial(Alone.open, int(lessors), datasets))
