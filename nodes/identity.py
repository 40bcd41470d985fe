"""A node's Ed25519 identity (RFC 8032): it signs what the node says and seals what the node keeps.

Key files are PKCS#8 PEM, readable by their owner alone. Private bytes never leave this module, not even in `repr`.

A key is replaced while everybody goes on knowing the node by the former one: that lies beside it then, in a file of the
same name with `former-` before, and both sign (`schemas.succession`).
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
from schemas.succession import is_signed, succession_bytes

_SEAL_LABEL: Final = b"sublet/v1/seal-at-rest"
_NONCE_BYTES: Final = 12
_KEY_FILE_BYTES_MAX: Final = 4096


class BadKeyFile(BadConfig):
    """A key file is missing, readable by others, or holds no Ed25519 private key. The message names the file."""


class UnsealFailed(VerificationFailed):
    """Sealed bytes were made by another key, under another label, or were changed; code `unseal-failed`."""


def former_file(path: Path) -> Path:
    """Where the key lies that was this key file's before."""
    return path.with_name(f"former-{path.name}")


class Identity:
    """The address and private key of one node; and the key by which others may still know it. Safe to share between
    threads, and changed only as a whole, by `renew`.
    """

    def __init__(self, address: Address, key: Ed25519PrivateKey, former: Ed25519PrivateKey | None = None) -> None:
        self.address = address
        self._keys = _Keys(key, former)

    @property
    def public(self) -> bytes:
        """The public key by which this node is known, 32 bytes: with a former one that, until that is forgotten."""
        return self._keys.known

    @property
    def newest(self) -> bytes:
        """The public key by which it will be known, 32 bytes; the same unless there is a former one."""
        return self._keys.newest

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
        """The identity whose key lies in `path`, and the former one beside it, if there is one.

        Raises:
            BadKeyFile: no such file, others may read or write it, or it is not an Ed25519 key.
        """
        former, key = former_file(path), _parse(_read_private(path), path)
        before = _parse(_read_private(former), former) if former.exists() else None
        if before is not None and before.public_key() == key.public_key():  # while one takes the other's place
            before = None
        return cls(address, key, before)

    def renew(self, by: Identity) -> bool:
        """Sign with that one's keys from now on; whether they are others. Both are of one node."""
        if (by.newest, by.public) == (self.newest, self.public):
            return False
        self._keys = by._keys
        return True

    def succeeded_by(self, other: Identity) -> Identity:
        """The same node with that one's key, which this one's names its successor."""
        return Identity(self.address, other._keys.key, self._keys.key)

    def save(self, path: Path) -> None:
        """Write the key to a new file of mode 0600.

        Raises:
            BadKeyFile: the file exists already: keys are not overwritten.
        """
        pem = self._keys.key.private_bytes(
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
        """The Ed25519 signature over `data`, deterministic: 64 bytes, or 160 while there is a former key."""
        keys = self._keys
        return keys.key.sign(data) + keys.succession

    def seal(self, secret: bytes, label: str) -> bytes:
        """`secret` for keeping at rest: 12-byte nonce, then AES-256-GCM with the label as associated data.

        The nonce is random: below 2^32 seals per node its collision is negligible (NIST SP 800-38D, 8.3).
        """
        nonce, sealing = os.urandom(_NONCE_BYTES), AESGCM(_seal_key(self._keys.key))
        return nonce + sealing.encrypt(nonce, secret, length_prefixed(_SEAL_LABEL, label.encode()))

    def unseal(self, sealed: bytes, label: str) -> bytes:
        """What `seal` was given, by this key or the former one.

        Raises:
            UnsealFailed: not sealed by either under this label, or changed since.
        """
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self._keys.all:
            try:
                return AESGCM(_seal_key(key)).decrypt(nonce, body, length_prefixed(_SEAL_LABEL, label.encode()))
            except (InvalidTag, ValueError):
                continue
        raise UnsealFailed(f"cannot unseal {label!r} with the key of {self.address}", code="unseal-failed")


class _Keys:
    """A node's private keys at one time."""

    __slots__ = ("all", "key", "known", "newest", "succession")

    def __init__(self, key: Ed25519PrivateKey, former: Ed25519PrivateKey | None) -> None:
        self.key = key
        self.newest: bytes = key.public_key().public_bytes_raw()
        self.all = (key,) if former is None else (key, former)
        self.known: bytes = self.all[-1].public_key().public_bytes_raw()
        self.succession = b""
        """What goes behind a signature."""
        if former is not None:
            self.succession = self.newest + former.sign(succession_bytes(self.known, self.newest))


def _seal_key(key: Ed25519PrivateKey) -> bytes:
    """HKDF-SHA-512 (RFC 5869) of the private key under a label of its own, so that it never meets signing."""
    return HKDF(hashes.SHA512(), 32, salt=None, info=_SEAL_LABEL).derive(key.private_bytes_raw())


def verify(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether `signature` over `data` was made by the private key of `public` (32 bytes), or by that of its successor.
    Bad bytes: False.
    """
    return is_signed(public, data, signature, _verify)


def _verify(public: bytes, data: bytes, signature: bytes) -> bool:
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
