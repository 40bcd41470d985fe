"""`sublet evidence`: hold attestation evidence against a policy, or explain it. Needs no node and no network.

FILE is the envelope that enclaves send, or with `--kind` the bare report, quote or document of a platform, to which
`--aux` adds certificates (AMD) or collateral (Intel).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nodes.cli import options as o
from nodes.cli.times import parse_time

if TYPE_CHECKING:
    from nodes.cli.console import Output
    from nodes.enclave.attestation.policy import Policy
    from nodes.enclave.attestation.port import Claims, Evidence

File = Annotated[Path, typer.Argument(metavar="FILE", help="The evidence.")]
Kind = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="FILE is bare: a report (snp), quote (tdx, sgx) or document (nitro)."),
]
Aux = Annotated[
    list[Path] | None,
    typer.Option(
        "--aux", metavar="FILE", help="With --kind: certificates or collateral that belong to it; repeatable."
    ),
]
NONCE_OF_BARE: Final = bytes(16)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    evidence = typer.Typer(name="evidence", help="Verify or explain attestation evidence.", no_args_is_help=True)
    evidence.command("verify")(verify)
    evidence.command("show")(show)
    evidence.command("measurement")(measurement)
    app.add_typer(evidence)


def verify(
    file: File,
    *,
    policy: Annotated[Path, typer.Option("--policy", metavar="P.toml", help="What is accepted.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="Verify as of this time (ISO 8601, UTC); by default now.")
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option("--contract", metavar="ID", help="Also check that it was made for this contract and its own key."),
    ] = None,
    kind: Kind = None,
    aux: Aux = None,
    as_json: o.Json = False,
) -> None:
    """Print what the evidence proves under a policy; end with 5 and the reason when it is rejected."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.enclave.attestation.policy_file import read_policy  # noqa: PLC0415
    from nodes.enclave.errors import Rejected  # noqa: PLC0415

    output, accepted, now = Output(as_json=as_json), read_policy(policy), datetime.now(UTC)
    if at is not None:
        now = datetime.fromtimestamp(parse_time(at, "at", now.timestamp()), UTC)
    try:
        claims = _verified(_read(file, kind, aux), accepted, now, contract)
    except Rejected as error:
        output.result({"verified": False, "code": error.code, "error": str(error), "exit_code": error.exit_code})
        output.note(f"sublet: rejected ({error.code}): {error}")
        raise typer.Exit(error.exit_code) from None
    _print_claims(output, claims, now, contract)


def _verified(evidence: Evidence, policy: Policy, now: datetime, contract: str | None) -> Claims:
    from nodes.enclave.agreement import key_agreement  # noqa: PLC0415
    from nodes.enclave.attestation.description import describe  # noqa: PLC0415
    from nodes.enclave.attestation.judge import judge  # noqa: PLC0415
    from nodes.enclave.attestation.verifiers import all_verifiers  # noqa: PLC0415

    if contract is None:
        expected = describe(evidence).report_data
    else:
        expected = key_agreement.report_data(evidence.nonce, contract, evidence.pub)
    return judge(evidence, expected_report_data=expected, policy=policy, verifiers=all_verifiers(), now=now)


def measurement(*, as_json: o.Json = False) -> None:
    """Print what this installation's software enclaves measure: a reference value for renters' `measurements`."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.enclave.attestation.measure import measurement as measured  # noqa: PLC0415

    output, found = Output(as_json=as_json), measured().hex()
    output.text(found)
    output.result({"measurement": found})


def show(file: File, *, kind: Kind = None, aux: Aux = None, as_json: o.Json = False) -> None:
    """Say what the evidence claims. Nothing is verified: whoever sent it can have made it up."""
    from nodes.cli.console import Output  # noqa: PLC0415
    from nodes.enclave.attestation.description import describe  # noqa: PLC0415

    evidence = _read(file, kind, aux)
    found = describe(evidence)
    value: dict[str, Any] = {"kind": evidence.kind, **found.said, "report data": found.report_data.hex()}
    if kind is None:
        value |= {"job": evidence.job, "nonce": evidence.nonce.hex(), "enclave key": f"{len(evidence.pub)} bytes"}
    value |= {"evidence": f"{len(evidence.blob)} bytes, with {len(evidence.aux)} bytes to verify it"}
    output = Output(as_json=as_json)
    output.text("NOT VERIFIED: this is what the evidence says of itself; `sublet evidence verify` proves it.")
    output.text(*_lines(value))
    output.result({"verified": False, **value})


def _print_claims(output: Output, claims: Claims, now: datetime, contract: str | None) -> None:
    value: dict[str, Any] = {
        "kind": claims.kind,
        "tier": claims.tier.value,
        "statement": claims.statement,
        "confidential": "yes" if claims.confidential else "no",
        "measurement": claims.measurement.hex(),
        "platform": claims.signer.hex(),
        "debug": "yes" if claims.debug else "no",
        "tcb": ", ".join(f"{part} {number}" for part, number in claims.tcb),
        "tcb status": claims.tcb_status,
        "advisories": ", ".join(claims.advisories),
        "report data": claims.report_data.hex(),
        "bound to": f"contract {contract}" if contract is not None else "not checked: give --contract",
        "as of": f"{now:%Y-%m-%d %H:%M:%SZ}",
    }
    output.text(*_lines({"verified": "yes", **value}))
    output.result({"verified": True, **value})


def _lines(value: dict[str, Any]) -> list[str]:
    return [f"{name:<16}{text}" for name, text in value.items() if text != ""]


def _read(path: Path, kind: str | None, aux: list[Path] | None) -> Evidence:
    from nodes.enclave.attestation.envelope import decode  # noqa: PLC0415
    from nodes.enclave.attestation.port import KINDS, Evidence  # noqa: PLC0415
    from schemas.errors import BadConfig  # noqa: PLC0415

    if kind is None:
        if aux:
            raise BadConfig("--aux belongs to bare evidence: say its --kind", field="aux")
        return decode(_bytes(path))
    if kind not in KINDS:
        raise BadConfig(f"--kind {kind!r} is none of {', '.join(sorted(KINDS))}", field="kind")
    joined = _joined(kind, [_bytes(each) for each in aux or ()])
    return Evidence(kind=kind, blob=_bytes(path), aux=joined, pub=b"", nonce=NONCE_OF_BARE, job="")


def _joined(kind: str, parts: list[bytes]) -> bytes:
    """AMD's certificates come in several files, of which some are DER: as one list in PEM."""
    if kind != "snp":
        return b"".join(parts)
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    from nodes.enclave.attestation.adapters.certificates import read_bundle  # noqa: PLC0415

    return b"".join(each.public_bytes(Encoding.PEM) for part in parts for each in read_bundle(part))


def _bytes(path: Path) -> bytes:
    from nodes.enclave.attestation.envelope import EVIDENCE_BYTES_MAX  # noqa: PLC0415
    from schemas.errors import BadInput  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            return file.read(EVIDENCE_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
