"""What a renter's file says that it accepts of enclaves."""

from __future__ import annotations

from dataclasses import replace

from nodes.config import NodeConfig, RenterSettings
from nodes.enclave.attestation.policy import Policy
from nodes.enclave.attestation.policy_file import read_policy


def evidence_policy(config: NodeConfig) -> Policy:
    """What a renter accepts of enclaves; `accept_software` says whether a job may opt in to software ones.

    Raises:
        BadConfig: its policy file cannot be read, or a field is not right; naming it.
    """
    settings = config.renter or RenterSettings()
    accepted = Policy(accept_software=True) if config.policy_file is None else read_policy(config.policy_file)
    return replace(
        accepted,
        measurements=accepted.measurements | {bytes.fromhex(each) for each in settings.measurements},
        accept_software=accepted.accept_software and settings.allow_software_enclaves,
    )
