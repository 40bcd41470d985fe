"""The protections and what sets them apart: the one file of nodes/ in which their names stand. Pure.

Everything else asks for a trait, or names one of the constants. What each protection does with a batch is in
`nodes/renter/protections/` and `nodes/lessor/compute/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from schemas.errors import BadConfig
from schemas.orders import Protection

AUTO: Final[Literal["auto"]] = "auto"
"""Asked for by jobs that leave the choice to the assessment."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What is particular to a protection."""

    name: Protection
    on_ciphertext: bool = False
    """Lessors compute on homomorphic ciphertext with the public key alone."""
    attested: bool = False
    """Only enclaves that proved themselves get the subtask's secret: a handshake, with a nonce, comes first (E1)."""
    sealed: bool = False
    """Enclaves encrypt their results homomorphically (T2), as fixed-point numbers."""

    @property
    def homomorphic_key(self) -> bool:
        """Whether the job has a homomorphic key pair, whose public half lessors get."""
        return self.on_ciphertext or self.sealed


CIPHERTEXT: Final = Traits("homomorphic", on_ciphertext=True)
ENCLAVE: Final = Traits("enclave", attested=True)
SEALED: Final = Traits("sealed-result", attested=True, sealed=True)
_BY_NAME: Final[Mapping[str, Traits]] = MappingProxyType({each.name: each for each in (CIPHERTEXT, ENCLAVE, SEALED)})
CHOICES: Final = (AUTO, *_BY_NAME)
"""What a user may ask for."""


def traits_of(protection: Protection) -> Traits:
    """Of the protection that was chosen."""
    return _BY_NAME[protection]


def asked(protection: str) -> Traits | None:
    """Of the protection that a job asks for; None when the assessment shall choose.

    Raises:
        BadConfig: there is none of this name.
    """
    if protection not in CHOICES:
        raise BadConfig(
            f"there is no protection {protection!r}: choose one of {', '.join(CHOICES)}", field="protection"
        )
    return _BY_NAME.get(protection)
