"""Make the exported models again, with what their frameworks say of the rows. Sublet itself needs none of these:

    pip install --group models && python -m tests.models.export [FOLDER]

Writes to FOLDER (default: tests/models/exported): a file for each model, `expected.npz` (the frameworks' own results on
the rows of `exports/rows.py`) and `models.json` (versions, and the rows of each model). Every model is small: a few
layers, trees, or neighbours. Some exporters name values anew each time: the same models, not the same bytes.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "exported"
MAKERS = (
    "scikit-learn",
    "skl2onnx",
    "xgboost-cpu",
    "lightgbm",
    "onnxmltools",
    "torch",
    "onnxscript",
    "onnx",
    "numpy",
)


def main(folder: Path) -> None:
    """Write all files into `folder`."""
    from tests.models.exports import boosting, scikit_learn, torch_modules

    folder.mkdir(exist_ok=True)
    rows: dict[str, str] = {}
    expected: dict[str, Any] = {}
    warnings.simplefilter("ignore")
    for module in (scikit_learn, boosting, torch_modules):
        for each in module.made():
            (folder / f"{each.name}.onnx").write_bytes(each.model)
            for name, data in each.beside.items():
                (folder / name).write_bytes(data)
            rows[each.name] = each.rows
            expected |= {f"{each.name}/{key}": _small(value) for key, value in each.said.items()}
            print(each.name, len(each.model))
    np.savez_compressed(folder / "expected.npz", **expected)
    made = {"versions": {name: version(name) for name in MAKERS}, "rows": rows}
    (folder / "models.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def _small(values: Any) -> Any:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
