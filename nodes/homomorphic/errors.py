"""What the homomorphic room raises on purpose; each names who erred and what to do. Pure.

BadCiphertext   (VerificationFailed)  whoever made the ciphertext
BadKey          (VerificationFailed)  whoever made the key
Overflow        (BadProgram)          the program could leave its slots; carries both numbers
DecryptionsStay (PolicyRefused)       who would send decrypted numbers on
TooCoarse       (BadProgram)          fixed point cannot reach the asked accuracy; carries both numbers
"""

from __future__ import annotations

from schemas.errors import BadProgram, PolicyRefused, VerificationFailed


class BadCiphertext(VerificationFailed):
    """A ciphertext or a body of ciphertexts is refused.

    The codes are `ciphertext-length`, which is a public fact, and `ciphertext-invalid` for everything else: which check
    failed, before or after the decryption, is deliberately not told apart.
    """


def invalid() -> BadCiphertext:
    """The one error for every reason but a wrong length."""
    return BadCiphertext(
        "a ciphertext is not valid under this key: whoever made it must encrypt again with the right key",
        code="ciphertext-invalid",
    )


class BadKey(VerificationFailed):
    """A serialised key is refused; its owner must make and publish a new one. The code is always `bad-key`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="bad-key")


class Overflow(BadProgram):
    """A result could reach `reached`, at or past `limit`. Narrow the bounds or the weights, or send fewer rows."""

    def __init__(self, message: str, *, reached: int, limit: int) -> None:
        super().__init__(message)
        self.reached = reached
        self.limit = limit


class DecryptionsStay(PolicyRefused):
    """Decrypted numbers of an approximate scheme are not handed to other parties."""


class TooCoarse(BadProgram):
    """The best provable error is `reachable`, more than the `asked` one. Allow more error or narrow the bounds."""

    def __init__(self, message: str, *, reachable: float, asked: float) -> None:
        super().__init__(message)
        self.reachable = reachable
        self.asked = asked
