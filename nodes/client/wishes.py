"""What a job may be given besides its data and its program."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

from nodes.client.errors import unfit
from nodes.data.reading import Missing
from schemas.errors import BadConfig
from schemas.jobs import Noise, ProtectionWish, SchemeWish
from schemas.joint import AlgorithmName, Outliers

if TYPE_CHECKING:
    from nodes.renter.submission import JobOptions

Accepted = Literal["software-enclave"]


class Wishes(TypedDict, total=False):
    """Keywords of `quote` and `submit`. None has to be given.

    id: the column that names the rows; it never leaves this machine. Without one results come back under the
        DataFrame's own index, or simply in its order.
    columns: what the program takes, in its order; by default the columns that it names, or all in the table's order.
    protection: "homomorphic", "enclave", "sealed-result", or "auto", which measures what this machine can afford.
    accept: what protects less than it says, by name. "software-enclave": enclaves that are not confidential against the
        owner of their host. `sublet.local()` always accepts them: its lessors are this process.
    missing: "refuse", or "nan" to give missing values to programs that know them, in enclaves only; "mean" fills them,
        for `fit_joint`.
    local_program: runs here, on the decrypted results: for what cannot run on ciphertext. Any model.
    lessors, lessors_min: how many at most, and how few will do; the job starts with those that there are.
    local_share: of the rows, computed on this machine; 0 to 1.
    max_error: largest absolute error of a result that encoding for ciphertext may cause.
    encrypt_seconds_max, decrypt_seconds_max: what "auto" may spend on homomorphic encryption, seconds.
    scheme, noise, results_stay: of homomorphic encryption; see `sublet job submit --help`.
    match_seconds: how long to look for lessors.
    price_max: highest price per unit and hour, in the network's currency.
    budget: what all contracts may cost together; without one a job runs until it is done.
    lease_seconds: how long a contract runs; what is still needed then is renewed.
    batch_rows: rows per batch at most; by default chosen.
    delimiter, decimal, encoding: of text files, where it cannot be told.
    """

    id: str | None
    columns: Sequence[str]
    protection: ProtectionWish
    accept: Sequence[Accepted]
    missing: Missing
    local_program: object
    lessors: int
    lessors_min: int
    local_share: float
    max_error: float
    encrypt_seconds_max: float
    decrypt_seconds_max: float | None
    scheme: SchemeWish
    noise: Noise
    results_stay: bool
    match_seconds: float
    price_max: float
    budget: float | None
    lease_seconds: float
    batch_rows: int | None
    delimiter: str | None
    decimal: str
    encoding: str | None


class FitWishes(Wishes, total=False):
    """Keywords of `fit_joint`: those of `submit`, of which `id` has to be given, and what a model may be given.

    algorithm: "logistic", "ridge", "ols" or "poisson".
    penalty: per row: times the rows it is Ridge's alpha on standardised columns. By default 0.001, and 0 for "ols".
    partner_columns: of the partner's dataset; by default all of numbers.
    partner_coefficients: whether the partner learns the weights of its own columns.
    outliers: rows that stand alone in the columns here: "refuse", or "move" to move them towards the mean.
    aligned: both sides have the same ids in the same order; else the rows in common are found.
    bits, partner_bits: of the integers that columns become, here and there; by default as room and rows ask for.
    key_bits: 3072 or 2048.
    """

    algorithm: AlgorithmName
    penalty: float | None
    partner_columns: Sequence[str]
    partner_coefficients: bool
    outliers: Outliers
    aligned: bool
    bits: int | None
    partner_bits: int | None
    key_bits: int


class ScoreWishes(Wishes, total=False):
    """Keywords of a model's `predict` and `score`: those of `submit`, and which rows the partner adds its part of.

    id: as of `submit`; by default as the model was fitted.
    dataset: the partner's table with its columns of these rows; by default the one that was fitted to.
    aligned: both sides have the same ids in the same order; else the rows in common are found.
    """

    dataset: str
    aligned: bool


@dataclass(frozen=True, slots=True)
class Whom:
    """A partner, and what it calls its table."""

    partner: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Model:
    """The job that fitted it and whose part it needs; and what its scores are held against, if anything."""

    job: str
    partner: str
    label: str | None


_OF_JOB: Final = ("algorithm", "partner_columns", "aligned")
"""What of a model's wishes is not its own."""
_NOT_OPTIONS: Final = ("id", "columns", "accept", "local_program")
"""What `JobOptions` calls otherwise, or does not have."""
_FIT_TEXTS: Final = ("label", "partner", "dataset", "algorithm")
_TEXTS: Final = ("id", "protection", "scheme", "missing", "delimiter", "decimal", "encoding")


def options(wishes: Mapping[str, Any], own_lessors: int | None = None) -> JobOptions:
    """As the renter takes them. Of lessors in this process there are so many, and their enclaves are accepted.

    Raises:
        BadConfig: there is no such wish, nothing of that name to accept, or a name is no text.
    """
    from nodes.renter.submission import JobOptions  # noqa: PLC0415 - whoever only looks waits for nothing

    _require_known(wishes, Wishes)
    for name in _TEXTS:
        if not isinstance(wishes.get(name), str | None):
            raise unfit(name, wishes[name], "text")
    accepted = _names(wishes, "accept")
    for name in accepted:
        if name not in get_args(Accepted):
            message = f"there is nothing to accept called {name!r}{_meant(name, get_args(Accepted))}"
            raise BadConfig(message, field="accept")
    defaults = {} if own_lessors is None else {"lessors": own_lessors}
    return JobOptions(
        id_column=wishes.get("id"),
        columns=_names(wishes, "columns"),
        accept_software_enclave=own_lessors is not None or bool(accepted),
        **defaults | {name: _plain(value) for name, value in wishes.items() if name not in _NOT_OPTIONS},
    )


def fit_options(label: str, whom: Whom, wishes: Mapping[str, Any], own_lessors: int | None = None) -> JobOptions:
    """As `options`, with a partner and the model to fit. Raises BadConfig."""
    from nodes.renter.invitation import Invitation, fitting  # noqa: PLC0415 - whoever only looks waits for nothing

    own = {name: _plain(value) for name, value in wishes.items() if name not in Wishes.__annotations__}
    _require_known(own, FitWishes)
    for name, text in {"label": label, "partner": whom.partner, "dataset": whom.dataset, **own}.items():
        if name in _FIT_TEXTS and not isinstance(text, str):
            raise unfit(name, text, "text")
    model = {name: value for name, value in own.items() if name not in _OF_JOB}
    invitation = Invitation(
        partner=whom.partner,
        dataset=whom.dataset,
        fitting=fitting(own.get("algorithm", "logistic"), label, **model),
        columns=_names(wishes, "partner_columns"),
        aligned=bool(own.get("aligned", False)),
    )
    of_job = {name: value for name, value in wishes.items() if name not in own}
    return replace(options(of_job, own_lessors), joint=invitation)


def score_options(model: Model, wishes: Mapping[str, Any], own_lessors: int | None = None) -> JobOptions:
    """As `options`, with the partner whose part the model needs. Raises BadConfig."""
    from nodes.renter.invitation import Invitation  # noqa: PLC0415 - whoever only looks waits for nothing

    own = {name: _plain(value) for name, value in wishes.items() if name not in Wishes.__annotations__}
    _require_known(own, ScoreWishes)
    for name, text in {"label": model.label, "dataset": own["dataset"]}.items():
        if not isinstance(text, str | None):
            raise unfit(name, text, "text")
    invitation = Invitation(
        partner=model.partner,
        dataset=own["dataset"],
        score=model.job,
        label=model.label,
        aligned=bool(own.get("aligned", False)),
    )
    of_job = {name: value for name, value in wishes.items() if name not in own}
    return replace(options(of_job, own_lessors), joint=invitation)


def _require_known(wishes: Mapping[str, Any], kind: type) -> None:
    """Raises BadConfig: there is no such wish."""
    for name in wishes:
        if name not in kind.__annotations__:
            raise BadConfig(f"there is no option {name!r}{_meant(name, kind.__annotations__)}", field=name)


def _names(wishes: Mapping[str, Any], wish: str) -> tuple[str, ...]:
    """One name is a list of one. Raises BadConfig: it is no list."""
    given = wishes.get(wish, ())
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise unfit(wish, given, "a list of names")
    return (given,) if isinstance(given, str) else tuple(map(str, given))


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item() if hasattr(value, "item") else value


def _meant(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"
