"""A node's Ed25519 identity (RFC 8032): it signs what the node says and seals what the node keeps.

Key files are PKCS#8 PEM, readable by their owner alone. Private bytes never leave this module, not even in `repr`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.errors import BadConfig, VerificationFailed
from schemas.ids import Address
from schemas.signing import length_prefixed

_SEAL_LABEL: Final = b"sublet/v1/seal-at-rest"
_NONCE_BYTES: Final = 12
_KEY_FILE_BYTES_MAX: Final = 4096


class BadKeyFile(BadConfig):
    """A key file is missing, readable by others, or holds no Ed25519 private key. The message names the file."""


class UnsealFailed(VerificationFailed):
    """Sealed bytes were made by another key, under another label, or were changed; code `unseal-failed`."""


class Identity:
    """The address and private key of one node. Safe to share between threads."""

    def __init__(self, address: Address, key: Ed25519PrivateKey) -> None:
        self.address = address
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()
        """Public key, 32 bytes."""

    def __repr__(self) -> str:
        return f"Identity({self.address}, public={self.public.hex()})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("an identity is not to be pickled: load it from its key file")

    @classmethod
    def generate(cls, address: Address) -> Identity:
        """A fresh identity."""
        return cls(address, Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, address: Address, seed: bytes) -> Identity:
        """The identity of a 32-byte private key; equal seeds give equal keys."""
        return cls(address, Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, address: Address, path: Path) -> Identity:
        """The identity whose key lies in `path`.

        Raises:
            BadKeyFile: no such file, others may read or write it, or it is not an Ed25519 key.
        """
        return cls(address, _parse(_read_private(path), path))

    def save(self, path: Path) -> None:
        """Write the key to a new file of mode 0600.

        Raises:
            BadKeyFile: the file exists already: keys are not overwritten.
        """
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise BadKeyFile(f"{path} exists: remove it first if this key shall be replaced", field="key") from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature over `data`, 64 bytes; deterministic."""
        return self._key.sign(data)

    def seal(self, secret: bytes, label: str) -> bytes:
        """`secret` for keeping at rest: 12-byte nonce, then AES-256-GCM with the label as associated data.

        The nonce is random: below 2^32 seals per node its collision is negligible (NIST SP 800-38D, 8.3).
        """
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._seal_key()).encrypt(nonce, secret, length_prefixed(_SEAL_LABEL, label.encode()))

    def unseal(self, sealed: bytes, label: str) -> bytes:
        """What `seal` was given.

        Raises:
            UnsealFailed: not sealed by this key under this label, or changed since.
        """
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._seal_key()).decrypt(nonce, body, length_prefixed(_SEAL_LABEL, label.encode()))
        except (InvalidTag, ValueError) as error:
            message = f"cannot unseal {label!r} with the key of {self.address}"
            raise UnsealFailed(message, code="unseal-failed") from error

    def _seal_key(self) -> bytes:
        """HKDF-SHA-512 (RFC 5869) of the private key under a label of its own, so that it never meets signing."""
        return HKDF(hashes.SHA512(), 32, salt=None, info=_SEAL_LABEL).derive(self._key.private_bytes_raw())


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether `signature` over `data` was made by the private key of `public` (32 bytes). Bad bytes: False."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_private(path: Path) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BadKeyFile(f"cannot open key file {path}: {error.strerror}", field="key") from error
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise BadKeyFile(f"{path} has mode {mode:04o}, others can get at the key: chmod 600 {path}", field="key")
        return file.read(_KEY_FILE_BYTES_MAX)


def _parse(pem: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BadKeyFile(f"{path} holds no unencrypted PEM private key", field="key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyFile(f"{path} holds a {type(key).__name__}, not an Ed25519 key", field="key")
    return key
