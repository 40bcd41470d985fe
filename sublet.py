"""Sublet in Python: have a model computed on your table by others, who do not see it.

    import sublet

    with sublet.local() as net:                    # or sublet.connect("node.toml"): a running network
        print(net.quote(df, model))                # seconds, bytes and price under each protection, or why not
        job = net.submit(df, model, id="patient")
        scores = job.result(timeout=600)           # the same kind of table as df, in its order

`df` is a DataFrame of pandas or polars, an Arrow table, a path; `model` a scikit-learn estimator, an ONNX model,
`sublet.linear({...})` or `sublet.sum("column")`. The same, awaited: `sublet.aconnect`, `sublet.alocal`.

Every error is a `SubletError`; its class says who erred, its message what to do. Nothing heavy is imported before it is
needed.
"""

from nodes.client.errors import NetworkClosed
from nodes.client.job import AsyncJob, Cost, Explanation
from nodes.client.network import AsyncNetwork, Opening
from nodes.client.opening import aconnect, alocal, connect, local
from nodes.client.programs import Program, linear
from nodes.client.programs import column_sum as sum  # noqa: A004 - of a column; nobody imports * from here
from nodes.client.sync import Job, Network
from nodes.client.wishes import FitWishes, Wishes
from nodes.quotes.quote import Offer, Quote
from nodes.store.errors import StoreFailed
from nodes.views.errors import UnknownJob
from nodes.views.jobs import JobReport
from nodes.views.models import FitReport
from schemas.errors import (
    BadConfig,
    BadData,
    BadInput,
    BadProgram,
    BrokerUnreachable,
    JobFailed,
    PolicyRefused,
    SubletError,
    VerificationFailed,
)

__all__ = [
    "AsyncJob",
    "AsyncNetwork",
    "BadConfig",
    "BadData",
    "BadInput",
    "BadProgram",
    "BrokerUnreachable",
    "Cost",
    "Explanation",
    "FitReport",
    "FitWishes",
    "Job",
    "JobFailed",
    "JobReport",
    "Network",
    "NetworkClosed",
    "Offer",
    "Opening",
    "PolicyRefused",
    "Program",
    "Quote",
    "StoreFailed",
    "SubletError",
    "UnknownJob",
    "VerificationFailed",
    "Wishes",
    "aconnect",
    "alocal",
    "connect",
    "linear",
    "local",
    "sum",
]
