"""The few file operations that quoting needs, as a port: kernels answer on files that no plain folder can imitate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Every operation raises OSError as the kernel says."""

    def exists(self, path: Path) -> bool:
        """Whether there is such a file or folder."""
        ...

    def make_folder(self, path: Path) -> None:
        """mkdir(2)."""
        ...

    def remove_folder(self, path: Path) -> None:
        """rmdir(2). Folders of configfs are removed with what is in them."""
        ...

    def read(self, path: Path, bytes_max: int) -> bytes:
        """All of the file, at most `bytes_max` bytes and one more."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """All of the data in one write(2): the kernel takes a second one for another request."""
        ...


class HostFiles:
    """The files of this machine."""

    def exists(self, path: Path) -> bool:
        """By stat(2)."""
        return path.exists()

    def make_folder(self, path: Path) -> None:
        """mkdir(2), for this user alone."""
        path.mkdir(mode=0o700)

    def remove_folder(self, path: Path) -> None:
        """rmdir(2)."""
        path.rmdir()

    def read(self, path: Path, bytes_max: int) -> bytes:
        """From the start, in one opening: some kernels answer each opening anew."""
        with path.open("rb") as file:
            return file.read(bytes_max + 1)

    def write(self, path: Path, data: bytes) -> None:
        """One write(2), and an error when it takes only a part."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(0, "the kernel took only a part")
        finally:
            os.close(descriptor)
