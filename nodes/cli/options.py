"""The options that several commands share, each said once. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from schemas import limits


class ProtectionChoice(StrEnum):
    """What `--protection` may be."""

    AUTO = "auto"
    HOMOMORPHIC = "homomorphic"
    ENCLAVE = "enclave"
    SEALED_RESULT = "sealed-result"


class SchemeChoice(StrEnum):
    """What `--scheme` may be."""

    AUTO = "auto"
    PAILLIER = "paillier"
    PAILLIER_SUBGROUP = "paillier-subgroup"
    CKKS = "ckks"


class NoiseChoice(StrEnum):
    """What `--noise` may be."""

    FIXED_BASE = "fixed-base"
    EXACT = "exact"


_PROGRAM = "Program"
_WISHES = "Wishes"

Data = Annotated[
    Path, typer.Argument(metavar="DATA.csv", help="The input: a CSV file whose first line names the columns.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Config = Annotated[Path, typer.Option("--config", envvar="SUBLET_CONFIG", metavar="FILE", help="The node's TOML file.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `job submit` and `job list` print it.")]

Program = Annotated[
    Path | None,
    typer.Option("--program", metavar="P.onnx", help="What is computed: an ONNX model.", rich_help_panel=_PROGRAM),
]
Linear = Annotated[
    Path | None,
    typer.Option(
        "--linear",
        metavar="WEIGHTS.csv",
        help="Instead: a linear model. A header `name,weight`, a line per column, a line `bias` if wanted.",
        rich_help_panel=_PROGRAM,
    ),
]
Aggregate = Annotated[
    str | None,
    typer.Option("--aggregate", metavar="sum:COLUMN", help="Instead: the sum of a column.", rich_help_panel=_PROGRAM),
]
LocalProgram = Annotated[
    Path | None,
    typer.Option(
        "--local-program",
        metavar="Q.onnx",
        help="Runs here, on the decrypted results: for what cannot run on ciphertext.",
        rich_help_panel=_PROGRAM,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option("--id-column", metavar="NAME", help="A column that names the rows; it never leaves this machine."),
]
Protection = Annotated[
    ProtectionChoice,
    typer.Option(
        "--protection", help="`auto` measures what this machine can afford to encrypt.", rich_help_panel=_WISHES
    ),
]
Scheme = Annotated[
    SchemeChoice,
    typer.Option(
        "--scheme",
        help="Of homomorphic encryption. `auto` takes the cheapest that gives nothing up: `paillier`, or `ckks` too "
        "with --results-stay. `paillier-subgroup` decrypts faster under one more assumption.",
        rich_help_panel=_WISHES,
    ),
]
Noise = Annotated[
    NoiseChoice,
    typer.Option(
        "--noise",
        help="`exact` does without the short-exponent assumption, for 50 times the time.",
        rich_help_panel=_WISHES,
    ),
]
ResultsStay = Annotated[
    bool,
    typer.Option(
        "--results-stay",
        help="I show the results to nobody: allows CKKS, which also computes polynomials up to degree 4.",
        rich_help_panel=_WISHES,
    ),
]
DecryptSecondsMax = Annotated[
    float | None,
    typer.Option(
        "--decrypt-seconds-max",
        help="For `auto`: seconds that homomorphic decryption of all results may take. Given, results are sealed in "
        "the enclaves when encrypting the data takes too long.",
        rich_help_panel=_WISHES,
    ),
]
Lessors = Annotated[int, typer.Option("--lessors", min=1, help="How many lessors at most.", rich_help_panel=_WISHES)]
EncryptSecondsMax = Annotated[
    float,
    typer.Option(
        "--encrypt-seconds-max",
        help="For `auto`: seconds that homomorphic encryption of all data may take.",
        rich_help_panel=_WISHES,
    ),
]
MaxError = Annotated[
    float,
    typer.Option("--max-error", help="Largest error of a result that encoding may cause.", rich_help_panel=_WISHES),
]
LocalShare = Annotated[
    float,
    typer.Option("--local-share", min=0, max=1, help="Share of the rows computed here.", rich_help_panel=_WISHES),
]
MatchSeconds = Annotated[
    float, typer.Option("--match-seconds", help="How long to look for lessors.", rich_help_panel=_WISHES)
]
PriceMax = Annotated[
    int,
    typer.Option(
        "--price-max",
        min=0,
        metavar="MICROS",
        help="Highest price per unit and hour, in millionths of the network's currency.",
        rich_help_panel=_WISHES,
    ),
]
BatchRows = Annotated[
    int | None, typer.Option("--batch-rows", min=1, help="Rows per batch; by default chosen.", rich_help_panel=_WISHES)
]

LESSORS = 2
LOCAL_SHARE = 0.1
ENCRYPT_SECONDS_MAX = limits.ENCRYPT_SECONDS_MAX_DEFAULT
MAX_ERROR = limits.MAX_ERROR_DEFAULT
MATCH_SECONDS = limits.MATCH_SECONDS_DEFAULT
PRICE_MAX = limits.PRICE_MICROS_MAX
