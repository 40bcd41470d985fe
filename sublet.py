"""Sublet in Python: have a model computed on your table by others, who do not see it.

    import sublet

    with sublet.local() as net:                    # or sublet.connect("node.toml"): a running network
        print(net.quote(df, model))                # seconds, bytes and price under each protection, or why not
        job = net.submit(df, model, id="patient")
        scores = job.result(timeout=600)           # the same kind of table as df, in its order

Of two parties' columns, which neither shows the other:

    with sublet.local(partner={"claims": sublet.Dataset(insurer, "patient")}) as net:
        model = net.fit_joint(hospital, "malignant", id="patient")
        print(model.coefficients, model.fit.r2, model.ledger)
        scores = model.predict(new)                # rows that both have

`df` is a DataFrame of pandas or polars, an Arrow table, a path; `model` a scikit-learn estimator, an ONNX model,
`sublet.linear({...})` or `sublet.sum("column")`. The same, awaited: `sublet.aconnect`, `sublet.alocal`.

Every error is a `SubletError`; its class says who erred, its message what to do. Nothing heavy is imported before it is
needed.
"""

from nodes.client.errors import NetworkClosed
from nodes.client.job import AsyncJob, Cost, Explanation, Ledger
from nodes.client.models import AsyncJointModel
from nodes.client.network import AsyncNetwork, Opening
from nodes.client.opening import aconnect, alocal, connect, local
from nodes.client.partners import Dataset
from nodes.client.programs import Program, linear
from nodes.client.programs import column_sum as sum  # noqa: A004 - of a column; nobody imports * from here
from nodes.client.sync import Network
from nodes.client.sync_jobs import Job, JointModel
from nodes.client.wishes import FitWishes, ScoreWishes, Wishes
from nodes.quotes.quote import Offer, Quote
from nodes.store.errors import StoreFailed
from nodes.views.errors import UnknownJob
from nodes.views.models import FitReport
from nodes.views.parts import PartReport
from nodes.views.report import JobReport
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
    "AsyncJointModel",
    "AsyncNetwork",
    "BadConfig",
    "BadData",
    "BadInput",
    "BadProgram",
    "BrokerUnreachable",
    "Cost",
    "Dataset",
    "Explanation",
    "FitReport",
    "FitWishes",
    "Job",
    "JobFailed",
    "JobReport",
    "JointModel",
    "Ledger",
    "Network",
    "NetworkClosed",
    "Offer",
    "Opening",
    "PartReport",
    "PolicyRefused",
    "Program",
    "Quote",
    "ScoreWishes",
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
