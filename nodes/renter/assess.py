"""Assessment (A1, A2): can the renter's own compute afford to encrypt all target data homomorphically? Pure.

Homomorphic encryption is the safer and the dearer protection. It is chosen when the program can run on ciphertext, the
wanted precision can be proved, and the measured encryption rate on the cores that are free now stays within the job's
`encrypt_seconds_max`; otherwise the data goes symmetrically encrypted into the lessors' enclaves.
"""

from __future__ import annotations

from math import ceil

from nodes.renter.records import Facts
from schemas.errors import PolicyRefused
from schemas.jobs import Assessment, Candidate, JobSpec
from schemas.orders import Protection


class NoProtection(PolicyRefused):
    """No protection can run this job as asked; the message says why for each.

    `code`: `no-enclave` when the renter's policy accepts none, `not-linear` when only the program stands in the way.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def assess(spec: JobSpec, facts: Facts) -> Assessment:
    """The protection to use, with every number that led to it.

    Raises:
        NoProtection: the protection that was asked for cannot run this job, or none can.
    """
    target_rows = facts.rows - min(facts.rows, round(facts.rows * spec.local_share))
    encrypt_seconds = _encrypt_seconds(facts, target_rows)
    candidates = (
        _homomorphic(spec, facts, encrypt_seconds),
        _in_enclave("enclave", facts, "runs any checked program on plaintext in the enclave"),
        _in_enclave("sealed-result", facts, "as enclave; results encrypted homomorphically"),
    )
    chosen, reason = _choose(spec, candidates)
    return Assessment(
        asked=spec.protection,
        chosen=chosen,
        rows=target_rows,
        columns=facts.width_in,
        key_bits=facts.key_bits,
        values_per_ciphertext=facts.slots,
        encrypt_values_per_second=facts.encrypt_values_per_second,
        cores=facts.cores,
        free_cores=facts.free_cores,
        encrypt_seconds=encrypt_seconds,
        encrypt_seconds_max=spec.encrypt_seconds_max,
        error_bound=facts.error_bound,
        max_error=spec.max_error,
        candidates=candidates,
        reason=reason,
    )


def _encrypt_seconds(facts: Facts, rows: int) -> float:
    """Whole ciphertexts are encrypted, so rows count in full blocks of `slots`."""
    if not facts.encrypt_values_per_second:
        return 0.0
    values = ceil(rows / facts.slots) * facts.slots * facts.width_in
    return values / (facts.encrypt_values_per_second * facts.free_cores)


def _homomorphic(spec: JobSpec, facts: Facts, seconds: float) -> Candidate:
    possible, reason = True, f"{seconds:.3g} s to encrypt, at most {spec.encrypt_seconds_max:.3g} s allowed"
    if facts.needs_enclave:
        possible, reason = False, facts.needs_enclave
    elif not facts.encrypt_values_per_second:
        reason = f"not measured: {spec.protection} was asked for"
    elif seconds > spec.encrypt_seconds_max:
        possible, reason = spec.protection == "homomorphic", reason + ": too long"
    return Candidate(protection="homomorphic", possible=possible, reason=reason, encrypt_seconds=seconds)


def _in_enclave(protection: Protection, facts: Facts, reason: str) -> Candidate:
    return Candidate(protection=protection, possible=not facts.no_enclave, reason=facts.no_enclave or reason)


def _choose(spec: JobSpec, candidates: tuple[Candidate, ...]) -> tuple[Protection, str]:
    if spec.protection != "auto":
        asked = next(c for c in candidates if c.protection == spec.protection)
        if not asked.possible:
            code = "not-linear" if asked.protection == "homomorphic" else "no-enclave"
            raise NoProtection(f"{asked.protection} cannot run this job: {asked.reason}", code=code)
        return asked.protection, "asked for by the job"
    homomorphic = candidates[0]
    if homomorphic.possible:
        return "homomorphic", f"local compute affords it: {homomorphic.reason}"
    enclave = candidates[1]
    if not enclave.possible:
        text = f"homomorphic is out: {homomorphic.reason}; enclave is out: {enclave.reason}"
        raise NoProtection(text, code="no-enclave")
    return "enclave", f"homomorphic is out: {homomorphic.reason}"
