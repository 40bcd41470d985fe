"""The options that several commands share, each said once. Imports nothing heavy."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nodes.cli import completion
from nodes.cli.places import found_config
from nodes.data.reading import Missing
from nodes.protections import AUTO
from schemas import limits
from schemas.jobs import Noise, ProtectionWish, SchemeWish
from schemas.joint import AlgorithmName, Outliers
from schemas.money import MICROS

if TYPE_CHECKING:
    from nodes.cli.inputs import Inputs
    from nodes.network import BrokerSite
    from nodes.renter.invitation import Invitation
    from nodes.renter.submission import JobOptions
    from schemas.joint import Fitting


Config = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="SUBLET_CONFIG",
        metavar="FILE",
        default_factory=found_config,
        show_default="./node.toml, or ~/.config/sublet/node.toml",
        help="The node's TOML file.",
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA.csv",
        help="The input: text whose first line names the columns, packed or not, or Parquet or Arrow; - is stdin.",
    ),
]
AcceptSoftware = Annotated[
    bool, typer.Option("--accept-software-enclave", help="Accept enclaves that are not confidential.")
]
Job = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="A job's id, or a beginning of it that no other has.", autocompletion=completion.job_ids
    ),
]
LISTED: Final = 20
"""Lines of a list, on one screen."""
Limit = Annotated[int, typer.Option("--limit", min=0, help="So many at most; 0: all.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say every number behind it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where it goes; by default to stdout.")]
ResultOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where the result goes, as .csv, .parquet, .arrow or .feather; by default to stdout, as CSV.",
    ),
]

PROGRAMS: Final = ("program", "linear", "aggregate", "local_program")
"""The fields of `Asked` that say what is computed."""
_program = functools.partial(typer.Option, rich_help_panel="Program")
_table = functools.partial(typer.Option, rich_help_panel="Table")
_wish = functools.partial(typer.Option, rich_help_panel="Wishes")
_joint = functools.partial(typer.Option, rich_help_panel="Partner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is computed, and the wishes for how: the options of every command that begins a job."""

    program: Annotated[
        Path | None, _program("--program", metavar="P.onnx", help="What is computed: an ONNX model.")
    ] = None
    linear: Annotated[
        Path | None,
        _program(
            "--linear",
            metavar="WEIGHTS.csv",
            help="Instead: a linear model. A header `name,weight`, a line per column, a line `bias` if wanted.",
        ),
    ] = None
    aggregate: Annotated[
        str | None, _program("--aggregate", metavar="sum:COLUMN", help="Instead: the sum of a column.")
    ] = None
    local_program: Annotated[
        Path | None,
        _program(
            "--local-program",
            metavar="Q.onnx",
            help="Runs here, on the decrypted results: for what cannot run on ciphertext.",
        ),
    ] = None
    id_column: Annotated[
        str | None,
        typer.Option("--id-column", metavar="NAME", help="A column that names the rows; it never leaves this machine."),
    ] = None
    columns: Annotated[
        str | None,
        _table(
            "--columns",
            metavar="A,B,…",
            help="What the program takes, in its order; @FILE names one per line. By default the columns that the "
            "program names, or all in the file's order.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        _table("--delimiter", metavar="SIGN", help="Between fields; by default told from the file. `tab` is a tab."),
    ] = None
    decimal: Annotated[str, _table("--decimal", metavar="SIGN", help="Of numbers: . or ,")] = "."
    encoding: Annotated[
        str | None,
        _table("--encoding", metavar="NAME", help="Of the text; by default UTF-8, or UTF-16 where a mark says so."),
    ] = None
    missing: Annotated[
        Missing,
        _table(
            "--missing",
            help="`nan` gives missing values to programs that know them, in enclaves only; `mean` fills them, for "
            "--algorithm.",
        ),
    ] = "refuse"
    protection: Annotated[
        ProtectionWish, _wish("--protection", help="`auto` measures what this machine can afford to encrypt.")
    ] = AUTO
    scheme: Annotated[
        SchemeWish,
        _wish(
            "--scheme",
            help="Of homomorphic encryption. `auto` takes the cheapest that gives nothing up: `bfv`, `paillier`, or "
            "`ckks` too with --results-stay. `paillier-subgroup` decrypts faster under one more assumption.",
        ),
    ] = "auto"
    noise: Annotated[
        Noise,
        _wish("--noise", help="`exact` does without the short-exponent assumption, for 50 times the time."),
    ] = "fixed-base"
    results_stay: Annotated[
        bool,
        _wish(
            "--results-stay",
            help="I show the results to nobody: allows CKKS, which also computes polynomials up to degree 4.",
        ),
    ] = False
    lessors: Annotated[
        int, _wish("--lessors", min=1, help="How many lessors at most: the job starts with those that there are.")
    ] = 2
    lessors_min: Annotated[int, _wish("--lessors-min", min=1, help="With fewer lessors the job does not start.")] = 1
    encrypt_seconds_max: Annotated[
        float,
        _wish("--encrypt-seconds-max", help="For `auto`: seconds that homomorphic encryption of all data may take."),
    ] = limits.ENCRYPT_SECONDS_MAX_DEFAULT
    decrypt_seconds_max: Annotated[
        float | None,
        _wish(
            "--decrypt-seconds-max",
            help="For `auto`: seconds that homomorphic decryption of all results may take. Given, results are sealed "
            "in the enclaves when encrypting the data takes too long.",
        ),
    ] = None
    max_error: Annotated[
        float, _wish("--max-error", help="Largest error of a result, or at a cut, that encoding may cause.")
    ] = limits.MAX_ERROR_DEFAULT
    local_share: Annotated[float, _wish("--local-share", min=0, max=1, help="Share of the rows computed here.")] = 0.1
    match_seconds: Annotated[float, _wish("--match-seconds", help="How long to look for lessors.")] = (
        limits.MATCH_SECONDS_DEFAULT
    )
    price_max: Annotated[
        float,
        _wish("--price-max", min=0, help="Highest price per unit and hour, in the network's currency; 0.25 is fine."),
    ] = limits.PRICE_MICROS_MAX_DEFAULT / MICROS
    budget: Annotated[
        float | None,
        _wish("--budget", min=0, help="What all contracts may cost together; without one a job runs until it is done."),
    ] = None
    lease_seconds: Annotated[
        float, _wish("--lease-seconds", help="How long a contract runs; what is still needed then is renewed.")
    ] = limits.LEASE_SECONDS_DEFAULT
    batch_rows: Annotated[int | None, _wish("--batch-rows", min=1, help="Rows per batch at most.")] = None

    def inputs(self, data: Path, out: Path | None = None, *, fits: bool = False) -> Inputs:
        """The files, programs read or made; `out` is where the result goes. What `fits` a model has no program.

        Raises:
            BadInput: none or several programs are named, one cannot be read, or the result cannot be written there.
        """
        from nodes.cli.files import require_writable  # noqa: PLC0415
        from nodes.cli.inputs import read_inputs, require_no_input  # noqa: PLC0415

        require_writable(out)
        require_no_input(out, (data, self.program, self.linear, self.local_program))
        return read_inputs(data, self.program, self.linear, self.aggregate, self.local_program, fits=fits)

    def wishes(self, *, accept_software_enclave: bool, joint: Invitation | None = None) -> JobOptions:
        """All but the programs, as a job takes them."""
        from nodes.renter.submission import JobOptions  # noqa: PLC0415

        given: dict[str, Any] = {
            each.name: getattr(self, each.name) for each in fields(self) if each.name not in PROGRAMS
        }
        given |= {"columns": self._columns(), "delimiter": "\t" if self.delimiter == "tab" else self.delimiter}
        return JobOptions(accept_software_enclave=accept_software_enclave, joint=joint, **given)

    def _columns(self) -> tuple[str, ...]:
        """Raises BadConfig: the file of names cannot be read."""
        from nodes.cli.inputs import read_columns  # noqa: PLC0415

        return () if self.columns is None else read_columns(self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """A partner on a running network."""

    partner: Annotated[
        str | None, _joint("--partner", metavar="HUB.NAME", help="Whom to compute with: sealed results go there.")
    ] = None
    dataset: Annotated[str | None, _joint("--dataset", metavar="NAME", help="Its data, as it calls it.")] = None
    score: Annotated[
        str | None,
        _joint(
            "--score",
            metavar="JOB",
            help="Score these rows with the model that JOB fitted.",
            autocompletion=completion.job_ids,
        ),
    ] = None

    def invitation(self, together: Together) -> Invitation | None:
        """What a job asks of its partner; None where it has none.

        Raises:
            BadInput: half of what a partner needs is missing, or a file cannot be read.
        """
        from schemas.errors import BadConfig  # noqa: PLC0415

        if self.partner is None:
            if (self, together) != (Whom(), Together()):
                raise BadConfig("these options are of a job with a partner: name one by --partner", field="partner")
            return None
        ways = (together.partner_program, together.algorithm, self.score)
        if self.dataset is None or sum(each is not None for each in ways) != 1:
            message = "a job with a partner needs --dataset, and either --partner-program, --algorithm or --score"
            raise BadConfig(message, field="partner")
        return together.invitation(self.partner, self.dataset, self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What is computed with a partner: the options of commands that may begin a joint job."""

    partner_program: Annotated[
        Path | None,
        _joint(
            "--partner-program",
            metavar="P.onnx",
            help="What it computes of `received`, which the lessors' program gives, and of `local`, its own columns.",
        ),
    ] = None
    partner_columns: Annotated[
        str | None, _joint("--partner-columns", metavar="A,B,…", help="What `local` takes; by default all it has.")
    ] = None
    rounds: Annotated[int, _joint("--rounds", min=1, help="How often, with new parameters each time.")] = 1
    update: Annotated[
        Path | None,
        _joint("--update", metavar="U.onnx", help="Runs here between rounds: `output` in, the next `parameters` out."),
    ] = None
    parameters: Annotated[
        str | None, _joint("--parameters", metavar="X,Y,…", help="Of the first round; by default zeros.")
    ] = None
    algorithm: Annotated[
        AlgorithmName | None,
        _joint("--algorithm", help="Instead of programs: the model to fit to both parties' columns."),
    ] = None
    label: Annotated[
        str | None,
        _joint(
            "--label",
            metavar="NAME",
            help="The column that --algorithm models, 0 or 1 if logistic; with --score what scores are held against.",
        ),
    ] = None
    penalty: Annotated[
        float | None,
        _joint(
            "--penalty",
            metavar="X",
            min=0.0,
            help="Of --algorithm, per row: times the rows it is Ridge's alpha on standardised columns. By default "
            "0.001, and 0 for ols.",
        ),
    ] = None
    bits: Annotated[
        int | None,
        _joint(
            "--bits",
            help="Of the integers that the columns here become, for --algorithm; by default 16 to 20, as ciphertexts "
            "have room.",
        ),
    ] = None
    partner_bits: Annotated[
        int | None,
        _joint("--partner-bits", help="Of those that the partner's columns become; by default as the rows ask for."),
    ] = None
    partner_coefficients: Annotated[bool, _joint(help="Whether the partner learns the weights of its own columns.")] = (
        True
    )
    outliers: Annotated[
        Outliers,
        _joint("--outliers", help="Rows that stand alone in the columns here: `move` moves them towards the mean."),
    ] = "refuse"
    key_bits: Annotated[str, _joint("--key-bits", help="Of the key for --algorithm: 3072 or 2048.")] = "3072"
    aligned: Annotated[
        bool,
        _joint(
            "--aligned",
            help="Both sides have the same ids in the same order: that is checked, and no intersection found.",
        ),
    ] = False

    def invitation(self, partner: str, dataset: str, score: str | None = None) -> Invitation:
        """What a job asks of this partner.

        Raises:
            BadInput: half of what a model needs is missing, or a file cannot be read.
        """
        from nodes.cli.inputs import read_columns, read_numbers  # noqa: PLC0415
        from nodes.model_files import read_program  # noqa: PLC0415
        from nodes.renter.invitation import Invitation  # noqa: PLC0415
        from schemas.errors import BadConfig  # noqa: PLC0415

        if self.algorithm is None and score is None and self.label is not None:
            raise BadConfig("--label is what --algorithm models: name one", field="label")
        return Invitation(
            partner=partner,
            dataset=dataset,
            program=b"" if self.partner_program is None else read_program(self.partner_program),
            fitting=None if self.algorithm is None else self._fitting(),
            score=score,
            label=self.label if score is not None else None,
            columns=() if self.partner_columns is None else read_columns(self.partner_columns),
            rounds=self.rounds,
            update=None if self.update is None else read_program(self.update),
            parameters=() if self.parameters is None else read_numbers(self.parameters),
            aligned=self.aligned,
        )

    def _fitting(self) -> Fitting:
        """Raises BadConfig: an option of the model is missing, or out of range."""
        from nodes.renter.invitation import fitting  # noqa: PLC0415
        from schemas.errors import BadConfig  # noqa: PLC0415

        assert self.algorithm is not None
        if self.label is None:
            raise BadConfig("--algorithm needs --label, the column that it models", field="label")
        if not self.key_bits.isdecimal():
            raise BadConfig(f"--key-bits {self.key_bits} is no number", field="key_bits")
        return fitting(
            self.algorithm,
            self.label,
            penalty=self.penalty,
            bits=self.bits,
            partner_bits=self.partner_bits,
            partner_coefficients=self.partner_coefficients,
            outliers=self.outliers,
            key_bits=int(self.key_bits),
        )


SPREAD: Final[Mapping[str, type]] = MappingProxyType({"asked": Asked, "whom": Whom, "together": Together})
"""Parameters of commands that are offered as options, one per field."""


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with its parameters of `SPREAD` offered as options."""
    own = inspect.signature(command, eval_str=True)
    taken = {name: kind for name, kind in SPREAD.items() if name in own.parameters}
    offered = {name: inspect.signature(kind, eval_str=True).parameters for name, kind in taken.items()}

    @functools.wraps(command)
    def spread(**given: Any) -> None:
        made = {name: kind(**{each: given.pop(each) for each in offered[name]}) for name, kind in taken.items()}
        command(**made, **given)

    shown: list[inspect.Parameter] = []
    for each in own.parameters.values():
        shown += offered[each.name].values() if each.name in taken else [each]
    vars(spread)["__signature__"] = own.replace(parameters=shown)
    spread.__annotations__ = {each.name: each.annotation for each in shown}
    return spread


def text_of(path: Path | None, field: str) -> str:
    """A small text file; empty without a path. Raises BadConfig."""
    from schemas.errors import BadConfig  # noqa: PLC0415

    try:
        return "" if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise BadConfig(f"cannot read {path}: {reason}", field=field) from error


def broker_site(text: str, virtual_host: str, *, tls: bool = False) -> tuple[str, BrokerSite]:
    """A hub's name and where its broker is, as `HUB=HOST:PORT/VHOST`. Raises BadConfig."""
    from nodes.network import BrokerSite  # noqa: PLC0415
    from schemas.errors import BadConfig  # noqa: PLC0415

    hub, _, where = text.partition("=")
    address, slash, own_host = where.partition("/")
    host, _, port = address.rpartition(":")
    try:
        where_to = own_host if slash else virtual_host
        found = BrokerSite(host=host.strip("[]"), port=int(port), virtual_host=where_to, tls=tls)
    except ValueError:
        found = BrokerSite(host="", port=0)
    if not (hub and found.host and 0 < found.port < 65536 and found.virtual_host):
        raise BadConfig(f"{text!r} is not a hub's broker: write A11=host:5672 or A11=host:5672/vhost", field="brokers")
    return hub, found
