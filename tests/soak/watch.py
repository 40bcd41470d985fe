"""What processes take while something runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

import psutil  # type: ignore[import-untyped]

SAMPLE_SECONDS: Final = 0.2


@dataclass(slots=True)
class Watch:
    """Processes and their children, looked at while it is entered."""

    roots: list[psutil.Process]
    memory: dict[int, int] = field(default_factory=dict)
    """Largest resident bytes by process."""
    root: dict[int, int] = field(default_factory=dict)
    """Which of the roots a process belongs to."""
    begin: dict[int, float] = field(default_factory=dict)
    end: dict[int, float] = field(default_factory=dict)
    """Processor seconds by process, when first and last seen."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._look()
        self.begin |= self.end
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def core_seconds(self) -> float:
        """Of all together."""
        return sum(self.of(root.pid) for root in self.roots)

    def of(self, root: int) -> float:
        """Processor seconds of a root and its children."""
        return sum(self.end[pid] - self.begin.get(pid, 0.0) for pid, of in self.root.items() if of == root)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        for root in self.roots:
            for process in (root, *root.children(recursive=True)):
                try:
                    times = process.cpu_times()
                    self.end[process.pid] = times.user + times.system
                    self.memory[process.pid] = max(process.memory_info().rss, self.memory.get(process.pid, 0))
                    self.root[process.pid] = root.pid
                except psutil.NoSuchProcess:
                    continue
