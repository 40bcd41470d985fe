"""Devices that behave as the kernel and Gramine document them, with hooks for what others do in between.

configfs-tsm: a folder is a request; each write of an attribute raises `generation`; `outblob` is made when it is first
read after a write, and EINVAL before any; the write of a binary attribute happens when the file is closed, so that its
failure stays unheard; `auxblob` may be empty or missing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2

from nodes.enclave.attestation.producers import configfs, gramine

INBLOB_BYTES_MAX = 64

Report = Callable[[bytes], bytes]
"""What the hardware makes of report data."""


@dataclass
class Request:
    """One folder of configfs."""

    inblob: bytes = b""
    generation: int = 0
    read_generation: int = -1
    outblob: bytes = b""


@dataclass
class FakeTsm:
    """configfs-tsm of one guest. `errors` are raised once each, in order, at (operation, file name)."""

    report: Report
    provider: str = "sev_guest"
    auxblob: bytes | None = b""
    driver: bool = True
    ignored_writes: int = 0
    errors: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    meanwhile: Callable[[FakeTsm, Request, str], None] = lambda *_: None
    requests: dict[Path, Request] = field(default_factory=dict)
    asked: list[Path] = field(default_factory=list)

    def exists(self, path: Path) -> bool:
        return path == configfs.ROOT

    def make_folder(self, path: Path) -> None:
        self._fail("mkdir", path)
        assert path.parent == configfs.ROOT
        if not self.driver:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        if path in self.requests:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self.requests[path] = Request()
        self.asked.append(path)

    def remove_folder(self, path: Path) -> None:
        self._fail("rmdir", path)
        del self.requests[path]

    def write(self, path: Path, data: bytes) -> None:
        self._fail("write", path)
        request = self.requests[path.parent]
        assert path.name == "inblob", "nothing else is to be written"
        if len(data) > INBLOB_BYTES_MAX:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if self.ignored_writes:
            self.ignored_writes -= 1
            return
        self.ask(request, data)
        self.meanwhile(self, request, "written")

    def ask(self, request: Request, data: bytes) -> None:
        """What a write does, whoever writes."""
        request.inblob = data
        request.generation += 1

    def read(self, path: Path, bytes_max: int) -> bytes:
        self._fail("read", path)
        request = self.requests[path.parent]
        raw = self._value(request, path.name)
        self.meanwhile(self, request, path.name)
        return raw[: bytes_max + 1]

    def _value(self, request: Request, name: str) -> bytes:
        if name == "provider":
            return f"{self.provider}\n".encode()
        if name == "generation":
            return f"{request.generation}\n".encode()
        if not request.inblob:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if request.read_generation != request.generation:
            request.outblob, request.read_generation = self.report(request.inblob), request.generation
        if name == "auxblob":
            if self.auxblob is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return self.auxblob
        assert name == "outblob"
        return request.outblob

    def _fail(self, operation: str, path: Path) -> None:
        name = path.name if operation in ("read", "write") else ""
        pending = self.errors.get((operation, name))
        if pending:
            number = pending.pop(0)
            raise OSError(number, os.strerror(number))


@dataclass
class FakeGramine:
    """Gramine's pseudo-files: one set for the whole process."""

    report: Report
    attestation_type: str = "dcap"
    user_report_data: bytes = bytes(64)
    errors: dict[str, list[int]] = field(default_factory=dict)
    meanwhile: list[bytes] = field(default_factory=list)

    def exists(self, path: Path) -> bool:
        return path.parent == gramine.ROOT

    def make_folder(self, path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    remove_folder = make_folder

    def write(self, path: Path, data: bytes) -> None:
        self._fail(path.name)
        assert path.name == "user_report_data"
        self.user_report_data = data.ljust(64, b"\0")
        if self.meanwhile:
            self.user_report_data = self.meanwhile.pop(0)

    def read(self, path: Path, bytes_max: int) -> bytes:
        self._fail(path.name)
        if path.name == "attestation_type":
            return self.attestation_type.encode()
        assert path.name == "quote"
        return self.report(self.user_report_data)[: bytes_max + 1]

    def _fail(self, name: str) -> None:
        if self.errors.get(name):
            number = self.errors[name].pop(0)
            raise OSError(number, os.strerror(number))


@dataclass
class FakeNsm:
    """The ioctl of /dev/nsm: it reads the request from our memory and writes the response to it."""

    report: Report
    errors: list[int] = field(default_factory=list)
    response: bytes | None = None
    length: int | None = None
    requests: list[Any] = field(default_factory=list)

    def ioctl(self, descriptor: int, number: int, message: bytearray) -> int:
        assert number == (3 << 30) | (32 << 16) | (0x0A << 8)
        assert os.fstat(descriptor)
        if self.errors:
            failed = self.errors.pop(0)
            raise OSError(failed, os.strerror(failed))
        address, length, room, room_length = struct.unpack("=QQQQ", message)
        request = cbor2.loads(ctypes.string_at(address, length))
        self.requests.append(request)
        response = self.response
        if response is None:
            document = self.report(request["Attestation"]["user_data"])
            response = cbor2.dumps({"Attestation": {"document": document}})
        assert len(response) <= room_length
        ctypes.memmove(room, response, len(response))
        message[:] = struct.pack("=QQQQ", address, length, room, self.length or len(response))
        return 0
