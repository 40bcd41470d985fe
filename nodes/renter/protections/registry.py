"""Which adapter a protection has. One more is one more row here, and in `nodes/protections.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from nodes.protections import CIPHERTEXT, ENCLAVE, SEALED, Traits
from nodes.renter.protections.ciphertext import CiphertextProtection
from nodes.renter.protections.enclave import EnclaveProtection
from nodes.renter.protections.port import BatchProtection, Ingredients
from nodes.renter.protections.sealed import SealedProtection

BUILDERS: Final[Mapping[Traits, Callable[[Ingredients], BatchProtection]]] = MappingProxyType(
    {
        CIPHERTEXT: CiphertextProtection.build,
        ENCLAVE: EnclaveProtection.build,
        SEALED: SealedProtection.build,
    }
)
"""Building compiles and packs: off the event loop."""
