"""Bodies of ciphertexts under a modulus n: their layout, and the check that everything from outside must pass. Pure.

Fixed-width big-endian, column after column. A ciphertext is refused unless 0 < c < n^2 and gcd(c, n) = 1, because
decryption would return a value without complaint for 0, n and p * k; and where c = 1 or -1 modulo n: it bears no noise,
so that whoever sees it reads it (-1 itself decrypts as 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gmpy2 import f_divmod, gcd, invert, mpz

from nodes.homomorphic.errors import BadCiphertext, invalid
from nodes.homomorphic.paillier.residues import Pair


def serialise(ciphertexts: Iterable[mpz], ciphertext_bytes: int) -> bytes:
    """Join ciphertexts that are below n^2."""
    return b"".join([ciphertext.to_bytes(ciphertext_bytes, "big") for ciphertext in ciphertexts])


def read(body: bytes, n: mpz, ciphertext_bytes: int, expected_bytes: int) -> list[mpz]:
    """As `parse`, but whole numbers below n^2: for sums, which need no halves."""
    _require_length(body, expected_bytes)
    size, from_bytes = ciphertext_bytes, mpz.from_bytes
    numbers = [from_bytes(body[at : at + size], "big") for at in range(0, len(body), size)]
    if max(numbers) >= n * n or not hide_something([number % n for number in numbers], n):
        raise invalid()
    return numbers


def added(left: Sequence[mpz], right: Sequence[mpz], n_squared: mpz) -> list[mpz]:
    """The ciphertexts of the sums, of ciphertexts that were read: a product modulo n^2 each."""
    return [a * b % n_squared for a, b in zip(left, right, strict=True)]


def _require_length(body: bytes, expected_bytes: int) -> None:
    if not 0 < len(body) == expected_bytes:
        raise BadCiphertext(
            f"the body takes {expected_bytes} bytes, this one has {len(body)}: the sender cut it, or used a key of "
            "another size",
            code="ciphertext-length",
        )


def parse(body: bytes, n: mpz, ciphertext_bytes: int, expected_bytes: int) -> list[Pair]:
    """Every ciphertext of a body of exactly `expected_bytes` as a pair, all valid; raises BadCiphertext."""
    pairs = parse_unproven(body, n, ciphertext_bytes, expected_bytes)
    require_units([low for _, low in pairs], n)
    return pairs


def parse_unproven(body: bytes, n: mpz, ciphertext_bytes: int, expected_bytes: int) -> list[Pair]:
    """As `parse`, but the caller must still see to it that each is coprime to n, or that what it makes of them is."""
    _require_length(body, expected_bytes)
    size = ciphertext_bytes
    from_bytes = mpz.from_bytes
    pairs: list[Pair] = [f_divmod(from_bytes(body[at : at + size], "big"), n) for at in range(0, len(body), size)]
    highs, lows = zip(*pairs, strict=True)
    if max(highs) >= n or any_bare(lows, n):
        raise invalid()
    return pairs


def require_units(lows: Sequence[mpz], n: mpz) -> None:
    """Raise BadCiphertext unless ciphertexts modulo n are all coprime to n: one gcd serves for all."""
    if not units(lows, n):
        raise invalid()


def units(lows: Sequence[mpz], n: mpz) -> bool:
    """Whether all are coprime to n: exactly when their product is."""
    product = mpz(1)
    for low in lows:
        product = product * low % n
    return bool(gcd(product, n) == 1)


def inverses(values: Sequence[mpz], n: mpz) -> list[mpz]:
    """All inverses modulo n for the price of one and three products each (Montgomery's trick).

    Raises BadCiphertext unless all are coprime to n.
    """
    prefixes, running = [], mpz(1)
    for value in values:
        prefixes.append(running)
        running = running * value % n
    if gcd(running, n) != 1:
        raise invalid()
    running = invert(running, n)
    inverted = []
    for value, prefix in zip(reversed(values), reversed(prefixes), strict=True):
        inverted.append(running * prefix % n)
        running = running * value % n
    return inverted[::-1]


def any_bare(lows: Sequence[mpz], n: mpz) -> bool:
    """Whether a ciphertext modulo n is 1 or -1: it bears no noise."""
    return mpz(1) in lows or n - 1 in lows


def hide_something(lows: Sequence[mpz], n: mpz) -> bool:
    """Whether ciphertexts modulo n are all coprime to n and none of them is bare."""
    return not any_bare(lows, n) and units(lows, n)
