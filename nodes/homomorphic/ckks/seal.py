"""SEAL as TenSEAL brings it: its contexts, and its objects as bytes. Knows no rows, programs or keys of ours.

`tenseal.sealapi` binds SEAL itself, without the copies and conversions of TenSEAL's vectors, but writes to paths only:
here to a file in memory, which no disk and no other process sees. SEAL parses bytes from outside: authenticate them
first, and do so for strangers in a process that may die.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from schemas.errors import BadConfig

DEGREE: Final = 8192
"""Of the polynomials; 128-bit security for a modulus of up to 218 bits (HomomorphicEncryption.org standard)."""
SLOTS: Final = DEGREE // 2
PARSE_ERRORS: Final = (ValueError, RuntimeError, TypeError, IndexError, MemoryError)
"""What SEAL's exceptions become."""


class Memory:
    """A file in memory: `with Memory() as memory`. SEAL's objects become bytes in it, and bytes become objects."""

    def __enter__(self) -> Memory:
        if not hasattr(os, "memfd_create"):
            raise BadConfig("CKKS needs files in memory, which this system does not have: use Linux", field="scheme")
        self._file = os.memfd_create("ckks", os.MFD_CLOEXEC)
        self._path = f"/proc/self/fd/{self._file}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._file)

    def save(self, thing: Any) -> bytes:
        """Its bytes, as SEAL compresses them."""
        thing.save(self._path)
        return os.pread(self._file, os.fstat(self._file).st_size, 0)

    def load(self, thing: Any, context: Any, data: bytes | memoryview) -> Any:
        """`thing`, filled from `data` and valid in `context`. Raises one of PARSE_ERRORS, also for bytes left over."""
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))
        if len(data) < _HEADER_BYTES or int.from_bytes(data[8:_HEADER_BYTES], "little") != len(data):
            raise ValueError("the length does not agree with SEAL's header")
        thing.load(context, self._path)
        return thing


_HEADER_BYTES: Final = 16
"""Of what SEAL saves; the last eight are the length of everything (`Serialization::SEALHeader`)."""


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A context with what needs nothing else: the encoder and the evaluator."""

    api: Any
    context: Any
    encoder: Any
    evaluator: Any

    def plaintext(self, numbers: list[float] | float, scale: float, parms: Any = None) -> Any:
        """Numbers, one per slot, or one number in all slots; for the modulus of `parms`, else for the whole one."""
        plain = self.api.Plaintext()
        self.encoder.encode(numbers, self.context.first_parms_id() if parms is None else parms, scale, plain)
        return plain

    def levels(self) -> Iterator[Any]:
        """The names of the moduli that ciphertexts can have, the whole one first."""
        data = self.context.first_context_data()
        while data is not None:
            yield data.parms_id()
            data = data.next_context_data()

    def last_prime(self, parms: Any) -> int:
        """The prime that rescaling drops next."""
        return int(self.context.get_context_data(parms).parms().coeff_modulus()[-1].value())

    def ciphertext(self) -> Any:
        """An empty one, to be filled."""
        return self.api.Ciphertext()

    def is_whole(self, ciphertext: Any, level: int) -> bool:
        """Whether it has two polynomials, hides something, and has lost exactly `level` primes of the modulus."""
        lost = self.context.first_context_data().chain_index() - self._index(ciphertext)
        return bool(
            ciphertext.size() == 2 and ciphertext.is_ntt_form() and not ciphertext.is_transparent() and lost == level
        )

    def _index(self, ciphertext: Any) -> int:
        return int(self.context.get_context_data(ciphertext.parms_id()).chain_index())


def engine(modulus_bits: tuple[int, ...]) -> Engine:
    """The context for a modulus of primes of these sizes, the last one for changing keys only. Raises BadConfig."""
    api = _sealapi()
    parameters = api.EncryptionParameters(api.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(DEGREE)
    parameters.set_coeff_modulus(api.CoeffModulus.Create(DEGREE, list(modulus_bits)))
    context = api.SEALContext(parameters, True, api.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise BadConfig(f"SEAL refuses the modulus {modulus_bits}: {context.parameters_error_message()}")
    return Engine(api, context, api.CKKSEncoder(context), api.Evaluator(context))


def _sealapi() -> Any:
    """TenSEAL's bindings of SEAL, which are installed with the extra `ckks` only."""
    try:
        from tenseal import sealapi  # noqa: PLC0415
    except ImportError:
        raise BadConfig("CKKS needs TenSEAL: pip install 'sublet[ckks]'", field="scheme") from None
    return sealapi
