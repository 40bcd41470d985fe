"""SEAL as PyPI's `seal-python` brings it; nothing else knows this binding. No rows, programs or keys of ours.

Words go in and come out as SEAL's own uncompressed streams, which we compose: a prefix that this build of SEAL wrote
itself, for a key that is thrown away, and then the words, which the caller has checked. So SEAL parses no byte that
another party chose freely, and what a ciphertext is (its parameters, size and form) is never taken from a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nodes.homomorphic.bfv.parameters import Parameters
from schemas.errors import BadConfig

MISSING: Final = "BFV needs SEAL: pip install 'sublet[bfv]'"
ENGINES_KEPT: Final = 4

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A context, its evaluator, and the beginnings of its streams."""

    api: Any
    context: Any
    evaluator: Any
    primes: Words
    """Of ciphertexts."""
    key_primes: Words
    """Of keys: the special prime too."""
    degree: int
    plain_start: bytes
    ciphertext_start: bytes
    public_start: bytes
    secret_start: bytes

    def plaintext(self, words: Words) -> Any:
        """Residues modulo t, uint64 [N], as coefficients."""
        plain = self.api.Plaintext()
        plain.load_bytes(self.context, self.plain_start + words.tobytes())
        return plain

    def constant(self, number: int) -> Any:
        """A whole number from 0 to t - 1."""
        return self.api.Plaintext(f"{number:X}")

    def coefficients(self, plain: Any) -> Words:
        """uint64 [N]; SEAL leaves out zeros at the end."""
        found = np.frombuffer(plain.to_bytes(), "<u8", offset=len(self.plain_start))
        words = np.zeros(self.degree, np.uint64)
        words[: len(found)] = found
        return words

    def ciphertext(self, words: Words) -> Any:
        """Of uint64 [2, primes, N], each below its prime."""
        return self.context.from_cipher_str(self.ciphertext_start + words.tobytes())

    def words(self, ciphertext: Any) -> Words:
        """uint64 [2, primes, N]."""
        stream = ciphertext.to_string()
        return np.frombuffer(stream, "<u8", offset=len(self.ciphertext_start)).reshape(2, -1, self.degree)

    def generate(self) -> tuple[Words, Words]:
        """A new key: secret [key primes, N] and public [2, key primes, N]."""
        generator = self.api.KeyGenerator(self.context)
        secret = generator.secret_key().to_string()[len(self.secret_start) :]
        public = generator.create_public_key().to_string()[len(self.public_start) :]
        shape = (len(self.key_primes), self.degree)
        return np.frombuffer(secret, "<u8").reshape(shape), np.frombuffer(public, "<u8").reshape(2, *shape)

    def encryptor(self, public: Words) -> Any:
        """Encrypts with the public key [2, key primes, N]."""
        return self.api.Encryptor(self.context, self.context.from_public_str(self.public_start + public.tobytes()))

    def owner(self, secret: Words) -> tuple[Any, Any]:
        """What encrypts and what decrypts with the secret key [key primes, N]."""
        key = self.context.from_secret_str(self.secret_start + secret.tobytes())
        return self.api.Encryptor(self.context, key), self.api.Decryptor(self.context, key)


@lru_cache(maxsize=ENGINES_KEPT)
def engine(parameters: Parameters) -> Engine:
    """The context for these parameters; raises BadConfig where there is no SEAL, or where it refuses them."""
    api, chosen = _seal(), parameters.set
    given = api.EncryptionParameters(api.scheme_type.bfv)
    given.set_poly_modulus_degree(chosen.degree)
    given.set_coeff_modulus([api.Modulus(prime) for prime in chosen.key_primes])
    given.set_plain_modulus(parameters.t)
    context = api.SEALContext(given, True, api.sec_level_type.tc128)
    if not context.parameters_set():
        raise BadConfig(f"SEAL refuses {parameters}: {context.parameter_error_message()}", field="scheme")
    key_primes = np.array(chosen.key_primes, np.uint64)
    primes = key_primes[: len(chosen.prime_bits)]
    generator, words = api.KeyGenerator(context), chosen.degree * 8
    public = generator.create_public_key()
    ciphertext = api.Encryptor(context, public).encrypt_zero()
    return Engine(
        api,
        context,
        api.Evaluator(context),
        primes,
        key_primes,
        chosen.degree,
        plain_start=_start(api.Plaintext(f"1x^{chosen.degree - 1}").to_bytes(), words),
        ciphertext_start=_start(ciphertext.to_string(), 2 * len(primes) * words),
        public_start=_start(public.to_string(), 2 * len(key_primes) * words),
        secret_start=_start(generator.secret_key().to_string(), len(key_primes) * words),
    )


def _start(stream: bytes, words_bytes: int) -> bytes:
    """What SEAL writes before the words."""
    return bytes(stream[: len(stream) - words_bytes])


def _seal() -> Any:
    """The binding, which is installed with the extra `bfv` only."""
    try:
        import seal  # noqa: PLC0415
    except ImportError:
        raise BadConfig(MISSING, field="scheme") from None
    return seal
