"""Where the command line finds what nobody named. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path


def found_config() -> Path:
    """Where a node's file lies, if nobody says: here, or in the user's folder of settings (XDG)."""
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    here, own = Path("node.toml"), settings / "sublet" / "node.toml"
    return own if own.exists() and not here.exists() else here
