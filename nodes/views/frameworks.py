"""How to export from each framework so that it runs: one table, for `sublet program show` and `docs/export.md`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Framework:
    """What writes ONNX files. `lines` are Python; `fitted` or `module` is the model, `X` its rows."""

    name: str
    producers: tuple[str, ...]
    """How the file's `producer_name` begins."""
    lines: str
    on_ciphertext: str
    in_enclaves: str
    beware: str = ""


_LAYERS: Final = "what comes before the first activation, if that is narrower than the columns; the rest follows here"
_TREES: Final = "nothing: trees compare columns, which ciphertexts cannot"

FRAMEWORKS: Final = (
    Framework(
        name="scikit-learn",
        producers=("skl2onnx",),
        lines="""\
from skl2onnx import to_onnx

exported = to_onnx(fitted, X[:1].astype("float32"))  # or a DataFrame of one row: then columns go by name
open("model.onnx", "wb").write(exported.SerializeToString())""",
        on_ciphertext="linear models, discriminant analyses and linear support vector machines, behind scalers and PCA "
        "too, up to their scores; probabilities and labels follow here",
        in_enclaves="all that was tried but what fills gaps from neighbours (KNNImputer): its export brings functions",
        beware="defaults are right: probabilities come as columns named by their classes, labels as text; scale "
        "columns before support vector machines: ONNX Runtime adds them up in float32, and on large numbers some "
        "labels differ from scikit-learn's",
    ),
    Framework(
        name="XGBoost",
        producers=("OnnxMLTools",),
        lines="""\
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

types = [("X", FloatTensorType([None, X.shape[1]]))]
exported = convert_xgboost(fitted, initial_types=types, target_opset=15)
open("model.onnx", "wb").write(exported.SerializeToString())""",
        on_ciphertext=_TREES,
        in_enclaves="all trees; missing values with --missing nan",
    ),
    Framework(
        name="LightGBM",
        producers=("OnnxMLTools",),
        lines="""\
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

types = [("X", FloatTensorType([None, X.shape[1]]))]
exported = convert_lightgbm(fitted, initial_types=types, target_opset=15)
open("model.onnx", "wb").write(exported.SerializeToString())""",
        on_ciphertext=_TREES,
        in_enclaves="all trees, with categories too",
    ),
    Framework(
        name="PyTorch",
        producers=("pytorch",),
        lines="""\
import torch

rows = torch.export.Dim("rows")
torch.onnx.export(module.eval(), (X[:2],), "model.onnx", input_names=["X"], dynamic_shapes=({0: rows},))""",
        on_ciphertext=_LAYERS,
        in_enclaves="what computes each row by itself, without loops and without training",
        beware="keep model.onnx.data beside model.onnx, and the number of rows free, as `dynamic_shapes` does",
    ),
    Framework(
        name="Keras",
        producers=("tf2onnx", "keras"),
        lines="""\
import tensorflow as tf
import tf2onnx

signature = [tf.TensorSpec([None, X.shape[1]], tf.float32, name="X")]
tf2onnx.convert.from_keras(module, input_signature=signature, opset=15, output_path="model.onnx")""",
        on_ciphertext=_LAYERS,
        in_enclaves="what computes each row by itself, without loops",
    ),
)


def frameworks_of(producer: str) -> tuple[Framework, ...]:
    """Those that write this `producer_name`; all where it is nobody's."""
    found = tuple(each for each in FRAMEWORKS if producer.lower().startswith(tuple(map(str.lower, each.producers))))
    return found or FRAMEWORKS
