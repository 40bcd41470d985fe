"""Notebooks and kernels for tests: executed as Jupyter would, in this environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import nbformat
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "docs" / "examples"
CELL_SECONDS_MAX: Final = 90


def example(name: str) -> Any:
    """A notebook of `docs/examples`, as it lies there."""
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def of_cells(*sources: str) -> Any:
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def executed(notebook: Any, folder: Path, **environment: str) -> list[str]:
    """What its cells of code showed, as text, each; raises CellExecutionError. `folder` is its working directory."""
    client = NotebookClient(notebook, timeout=CELL_SECONDS_MAX, resources={"metadata": {"path": str(folder)}})
    with _loop():
        client.execute(env={**os.environ, **environment})
    return [_shown(cell) for cell in notebook.cells if cell.cell_type == "code"]


@contextmanager
def kernel(notebook: Any, folder: Path) -> Iterator[NotebookClient]:
    """A kernel to execute the notebook's cells in, one by one; it may be killed meanwhile."""
    client = NotebookClient(notebook, timeout=CELL_SECONDS_MAX, resources={"metadata": {"path": str(folder)}})
    with _loop(), client.setup_kernel():
        yield client


@contextmanager
def _loop() -> Iterator[None]:
    """The event loop that Jupyter's blocking calls make for themselves and never close."""
    loop = ensure_event_loop()
    try:
        yield
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def _shown(cell: Any) -> str:
    parts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(parts)
