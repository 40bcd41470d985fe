"""Assessment (A1, A2): can the renter's own compute afford to encrypt all target data homomorphically? Pure.

Homomorphic encryption is the safer and the dearer protection. It is chosen when the program can run on ciphertext, the
wanted precision can be proved, and encrypting on the cores that are free now is predicted to stay within the job's
`encrypt_seconds_max`; of several schemes that would do, the cheapest. Otherwise the data goes symmetrically encrypted
into the lessors' enclaves; results come back sealed when the job says what it affords for opening them.
"""

from __future__ import annotations

from typing import Final

from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED, asked, traits_of
from nodes.renter.protocol.records import Facts, SchemeFacts
from schemas.errors import PolicyRefused
from schemas.jobs import PAILLIER, Assessment, Candidate, Costs, JobSpec, Scheme

LINK_BYTES_PER_SECOND: Final = 12.5e6
"""100 Mbit/s, assumed between organisations: how bytes are weighed against core-seconds when schemes are compared."""

_NOTHING: Final = Costs(encrypt_seconds=0.0, lessor_seconds=0.0, decrypt_seconds=0.0)


class NoProtection(PolicyRefused):
    """No protection can run this job as asked; the message says why for each.

    `code`: `no-enclave` when the renter's policy accepts none, `not-linear` when only the program stands in the way.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


def assess(spec: JobSpec, facts: Facts) -> Assessment:
    """The protection and scheme to use, with every number that led to it.

    Raises:
        NoProtection: the protection that was asked for cannot run this job, or none can.
    """
    candidates = candidates_for(spec, facts)
    homomorphic = [each for each in candidates if each.protection == CIPHERTEXT.name]
    chosen, reason = _choose(spec, candidates)
    costs = chosen.costs or _NOTHING
    return Assessment(
        asked=spec.protection,
        chosen=chosen.protection,
        scheme=chosen.scheme,
        noise=spec.noise if chosen.protection == CIPHERTEXT.name and chosen.scheme in PAILLIER else None,
        rows=rented_rows(spec, facts.rows),
        columns=facts.width_in,
        cores=facts.cores,
        free_cores=facts.free_cores,
        encrypt_seconds=min((_by_clock(facts, c.costs.encrypt_seconds) for c in homomorphic if c.costs), default=0.0),
        encrypt_seconds_max=spec.encrypt_seconds_max,
        decrypt_seconds_max=spec.decrypt_seconds_max,
        max_error=spec.max_error,
        memory_mib=facts.memory_mib if traits_of(chosen.protection).attested else 0,
        costs=costs,
        candidates=candidates,
        reason=reason,
    )


def candidates_for(spec: JobSpec, facts: Facts) -> tuple[Candidate, ...]:
    """Every way to protect this job's data: the schemes of homomorphic encryption, then the enclaves."""
    homomorphic = [_homomorphic(spec, facts, each) for each in facts.schemes] or [_none(facts)]
    return (*homomorphic, _enclave(facts), _sealed_result(spec, facts))


def rented_rows(spec: JobSpec, rows: int) -> int:
    """Rows that lessors compute: all but the local part (S1)."""
    return rows - min(rows, round(rows * spec.local_share))


def sealing_scheme(spec: JobSpec) -> Scheme:
    """In which enclaves would encrypt the job's results (T2)."""
    return "paillier-subgroup" if spec.scheme == "paillier-subgroup" else "paillier"


def _by_clock(facts: Facts, core_seconds: float) -> float:
    return core_seconds / facts.free_cores


def _none(facts: Facts) -> Candidate:
    return Candidate(protection=CIPHERTEXT.name, possible=False, reason=facts.needs_enclave or "not looked at")


def _homomorphic(spec: JobSpec, facts: Facts, scheme: SchemeFacts) -> Candidate:
    refused, reason = scheme.refused, "not predicted"
    if not refused and scheme.costs is not None:
        encrypting = _by_clock(facts, scheme.costs.encrypt_seconds)
        decrypting = _by_clock(facts, scheme.costs.decrypt_seconds)
        reason = f"{encrypting:.3g} s to encrypt, at most {spec.encrypt_seconds_max:.3g} s allowed"
        if encrypting > spec.encrypt_seconds_max:
            refused = f"{reason}: too long"
        elif spec.decrypt_seconds_max is not None and decrypting > spec.decrypt_seconds_max:
            refused = f"{decrypting:.3g} s to decrypt, at most {spec.decrypt_seconds_max:.3g} s allowed: too long"
    return Candidate(
        protection=CIPHERTEXT.name,
        scheme=scheme.scheme,
        possible=not (scheme.refused if asked(spec.protection) is CIPHERTEXT else refused),
        reason=refused or reason,
        error_bound=scheme.error_bound,
        costs=scheme.costs,
    )


def _enclave(facts: Facts) -> Candidate:
    reason = "runs any checked program on plaintext in the enclave"
    return Candidate(
        protection=ENCLAVE.name, possible=not facts.no_enclave, reason=facts.no_enclave or reason, costs=facts.enclave
    )


def _sealed_result(spec: JobSpec, facts: Facts) -> Candidate:
    refused, reason, costs = facts.no_enclave, "as enclave; results encrypted homomorphically", facts.sealed_result
    if costs is not None and spec.decrypt_seconds_max is not None:
        decrypting = _by_clock(facts, costs.decrypt_seconds)
        reason += f"; {decrypting:.3g} s to decrypt, at most {spec.decrypt_seconds_max:.3g} s allowed"
        if decrypting > spec.decrypt_seconds_max and asked(spec.protection) is None:
            refused = refused or f"{reason}: too long"
    return Candidate(
        protection=SEALED.name,
        scheme=sealing_scheme(spec),
        possible=not refused,
        reason=refused or reason,
        costs=costs,
    )


def _choose(spec: JobSpec, candidates: tuple[Candidate, ...]) -> tuple[Candidate, str]:
    if (wanted := asked(spec.protection)) is not None:
        looked_at = [each for each in candidates if each.protection == wanted.name]
        possible = [each for each in looked_at if each.possible]
        if not possible:
            code = "no-enclave" if wanted.attested else "not-linear"
            raise NoProtection(f"{wanted.name} cannot run this job: {_reasons(looked_at)}", code=code)
        return min(possible, key=_price), "asked for by the job"
    homomorphic = [each for each in candidates if each.protection == CIPHERTEXT.name]
    affordable = [each for each in homomorphic if each.possible]
    if affordable:
        chosen = min(affordable, key=_price)
        return chosen, f"local compute affords it: {chosen.reason}"
    enclave, sealed = candidates[-2:]
    why = f"homomorphic is out: {_reasons(homomorphic)}"
    if sealed.possible and spec.decrypt_seconds_max is not None:
        return sealed, f"{why}; {sealed.reason}"
    if not enclave.possible:
        raise NoProtection(f"{why}; enclave is out: {enclave.reason}", code="no-enclave")
    return enclave, why


def _price(candidate: Candidate) -> float:
    """What a candidate costs all parties, in seconds."""
    costs = candidate.costs or _NOTHING
    return costs.renter_seconds + costs.lessor_seconds + (costs.bytes_sent + costs.bytes_back) / LINK_BYTES_PER_SECOND


def _reasons(candidates: list[Candidate]) -> str:
    """Each scheme's reason, or the only one."""
    named = [f"{each.scheme}: {each.reason}" if len(candidates) > 1 else each.reason for each in candidates]
    return "; ".join(named)
