"""pyarrow, which only some tables need: the extra `tables`, imported when one does."""

from __future__ import annotations

import importlib
from typing import Any

from schemas.errors import BadConfig


def pyarrow(wish: str, module: str = "pyarrow") -> Any:
    """The module. Raises BadConfig: the extra is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadConfig(f"to {wish}, install the extra `tables`: pip install 'sublet[tables]'") from error
