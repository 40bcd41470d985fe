"""Estimators of scikit-learn as ONNX models that decide as they do, through skl2onnx (extra `sklearn`).

Two things are mended in what skl2onnx writes of estimators fitted on float64. scikit-learn's trees round their input to
float32 and compare then; exported, they compare without rounding. ONNX Runtime has no Imputer of float64.
"""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Container, Iterator
from typing import Any, Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from nodes.programs.encoder import read
from schemas.errors import BadConfig, BadProgram

OPSET: Final = {"": 18, "ai.onnx.ml": 2}
"""Of ai.onnx.ml the second: the first cannot number categories, and from the third on trees keep thresholds that
float32 input cannot be compared with."""
INPUT: Final = "columns"
SINGLE, DOUBLE = "FloatTensorType", "DoubleTensorType"
"""What skl2onnx calls inputs of float32 and float64."""
IN_SINGLE: Final = (
    "in float32 it can be run: bring skl2onnx.to_onnx(estimator, X[:1].astype('float32')), which rounds its input"
)
CLASS_END: Final = 2**31
TREES: Final = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
IMPUTERS: Final = frozenset({"Imputer"})
NAMES: Final = (
    (re.compile(r"output_label"), "label"),
    (re.compile(r"(?:probabilities|proba_output|output_probability)_(.*)"), r"probability_\1"),
    (re.compile(r"variable"), "prediction"),
)
"""What skl2onnx calls results, and what they are."""


def converted(estimator: Any) -> bytes:
    """The serialised ONNX model of a fitted estimator. Columns are named as in the table that it was fitted on.

    Raises:
        BadProgram: it is not fitted, has no ONNX form, or one that cannot run here.
        BadConfig: skl2onnx is not installed.
    """
    _skl2onnx()
    if not hasattr(estimator, "n_features_in_"):
        raise BadProgram(f"this {type(estimator).__name__} is not fitted: call its fit first")
    _require_exact(estimator)
    if _fitted_on_float32(estimator):
        return _written(estimator, SINGLE)
    try:
        return _written(estimator, DOUBLE)
    except BadProgram as error:
        if _is_of_trees(estimator):  # which round their input to float32 anyway
            return _written(estimator, SINGLE)
        if _runs_in_single(estimator):
            raise BadProgram(f"{error}; {IN_SINGLE}", operator=error.operator) from error
        raise


def label_type(estimator: Any) -> str | None:
    """The type of a classifier's classes as NumPy calls it, where these are numbers, or true and false."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or classes.dtype.kind not in "bfiu":
        return None
    return str(classes.dtype.name)


def _runs_in_single(estimator: Any) -> bool:
    try:
        return bool(_written(estimator, SINGLE))
    except BadProgram:
        return False


def _written(estimator: Any, kind: str) -> bytes:
    """Raises BadProgram: it has no form of this kind of input that runs here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # between skl2onnx and scikit-learn, and nothing that a user can change
            model = _skl2onnx().to_onnx(estimator, initial_types=_inputs(estimator, kind), target_opset=OPSET)
    except Exception as error:  # skl2onnx's have no common class
        said = " ".join(str(error.__cause__ or error).split())[:300]
        raise BadProgram(f"skl2onnx cannot convert this {type(estimator).__name__}: {said}") from error
    _mend(model, estimator)
    _without_scores(model.graph, estimator)
    _name(model, estimator)
    return bytes(model.SerializeToString())


def _skl2onnx() -> Any:
    try:
        return importlib.import_module("skl2onnx")
    except ImportError as error:
        message = "to convert scikit-learn's estimators, install the extra `sklearn`: pip install 'sublet[sklearn]'"
        raise BadConfig(message) from error


def _inputs(estimator: Any, number: str) -> list[tuple[str, Any]]:
    """One matrix; an input per column where a part of the estimator picks them by name, or some of them hold text."""
    types = importlib.import_module("skl2onnx.common.data_types")
    kind = getattr(types, number)
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    texts = _texts(estimator)
    if texts or any(_picks_by_name(part) for part in _parts(estimator)):
        return [(name, (types.StringTensorType if name in texts else kind)([None, 1])) for name in names]
    return [(INPUT, kind([None, estimator.n_features_in_]))]


def _texts(estimator: Any) -> frozenset[str]:
    """The columns whose categories are text, by the names that the estimator was fitted on."""
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    groups = [group for part in _parts(estimator) for group in getattr(part, "transformers_", ())]
    taken = [(each, columns) for _, transformer, columns in groups for each in _parts(transformer)]
    if not groups:
        taken = [(part, names) for part in _parts(estimator)]
    found = [pair for part, columns in taken for pair in zip(columns, getattr(part, "categories_", ()), strict=False)]
    of_text = [column for column, categories in found if np.asarray(categories).dtype.kind in "OU"]
    return frozenset(each if isinstance(each, str) else names[each] for each in of_text)


def _parts(estimator: Any) -> Iterator[Any]:
    """The fitted estimators that it is made of, itself too."""
    seen, waiting = set[int](), [estimator]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple):
            waiting += part
        elif hasattr(part, "get_params") and not isinstance(part, type) and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += [value for name, value in vars(part).items() if name.endswith("_") or name == "steps"]


def _fitted_on_float32(estimator: Any) -> bool:
    """Estimators keep what they learned in the type of the table that they were fitted on."""
    learned = [each for part in _parts(estimator) for name, each in vars(part).items() if name.endswith("_")]
    kinds = {each.dtype for each in learned if isinstance(each, np.ndarray) and each.dtype.kind == "f"}
    return kinds == {np.dtype(np.float32)}


def _require_exact(estimator: Any) -> None:
    """Raises BadProgram: what skl2onnx rounds to float32 decides: splits, or numbers that are categories."""
    _require_small_classes(estimator)
    for part in _parts(estimator):
        name = type(part).__name__
        if name.startswith("HistGradientBoosting"):
            message = f"skl2onnx rounds the numbers at which a {name} splits its columns"
            raise BadProgram(f"{message}: fit a {name.removeprefix('Hist')}, or bring an export of LightGBM or XGBoost")
        for each in getattr(part, "categories_", ()) if name != "OneHotEncoder" else ():
            known = np.asarray(each)
            if known.dtype.kind in "fiu" and len(np.unique(known.astype(np.float32))) < len(known):
                raise BadProgram(f"categories of this {name} are the same number in float32: encode them before")


def _require_small_classes(estimator: Any) -> None:
    """Raises BadProgram: what skl2onnx writes of some classifiers keeps 32 bits of a class only."""
    classes = np.asarray(getattr(estimator, "classes_", ()))
    if classes.ndim == 1 and classes.dtype.kind in "fiu" and len(classes) and np.abs(classes).max() >= CLASS_END:
        raise BadProgram(
            f"a class of this {type(estimator).__name__} is a number of more than 32 bits: number them anew"
        )


def _is_of_trees(estimator: Any) -> bool:
    """Whether nothing but trees sees the columns."""
    parts = list(np.ravel(getattr(estimator, "estimators_", ())))
    return bool(parts) and all(hasattr(each, "tree_") for each in parts)


def _picks_by_name(part: Any) -> bool:
    chosen = [columns for _, _, columns in getattr(part, "transformers_", ())]
    return any(isinstance(each, str) for columns in chosen for each in np.atleast_1d(np.array(columns, dtype=object)))


def _mend(model: ModelProto, estimator: Any) -> None:
    """See the module's first lines. Imputers first: what follows one that ONNX does not know has no type."""
    learned = _imputed(estimator)
    for place, node in _on_doubles(model, IMPUTERS):
        _impute(model.graph, place, node, learned)
    for place, node in _on_doubles(model, TREES):
        rounded = f"{node.input[0]}/float32/{place}"
        model.graph.node.insert(place, helper.make_node("Cast", [node.input[0]], [rounded], to=TensorProto.FLOAT))
        model.graph.node[place + 1].input[0] = rounded


def _on_doubles(model: ModelProto, operators: Container[str]) -> list[tuple[int, NodeProto]]:
    """The nodes of these operators whose input is float64, with their places, the last first."""
    graph = shape_inference.infer_shapes(model).graph
    infos = [*graph.input, *graph.value_info]
    doubles = {each.name for each in infos if each.type.tensor_type.elem_type == TensorProto.DOUBLE}
    nodes = list(enumerate(model.graph.node))
    return [(at, node) for at, node in reversed(nodes) if node.op_type in operators and node.input[0] in doubles]


def _imputed(estimator: Any) -> dict[bytes, Any]:
    """What imputers learned, by what is left of it in float32."""
    found = [getattr(part, "statistics_", None) for part in _parts(estimator)]
    numbers = [each for each in found if isinstance(each, np.ndarray) and each.dtype.kind in "fiu"]
    return {each.astype(np.float32).tobytes(): each.astype(np.float64) for each in numbers}


def _impute(graph: GraphProto, place: int, node: NodeProto, learned: dict[bytes, Any]) -> None:
    """Instead of an Imputer: values where they are missing."""
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    rough = np.array(given.get("imputed_value_floats", ()), dtype=np.float32)
    if not np.isnan(given.get("replaced_value_float", np.nan)):
        raise BadProgram("an imputer of another value than NaN cannot be run on float64; fit it on float32")
    values, missing = f"{node.output[0]}/imputed", f"{node.output[0]}/missing"
    exact = learned.get(rough.tobytes(), rough.astype(np.float64))
    graph.initializer.append(numpy_helper.from_array(exact.reshape(1, -1), values))
    source, target = node.input[0], node.output[0]
    del graph.node[place]
    graph.node.insert(place, helper.make_node("Where", [missing, values, source], [target]))
    graph.node.insert(place, helper.make_node("IsNaN", [source], [missing]))


def _without_scores(graph: GraphProto, estimator: Any) -> None:
    """What a classifier gives beside its labels where it knows no probabilities is no answer of scikit-learn's."""
    if hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        scores = {info.name for info in graph.output[1:]}
        del graph.output[1:]
        for node in [each for each in graph.node if scores & set(each.output) and each.op_type == "ZipMap"]:
            graph.node.remove(node)


def _name(model: ModelProto, estimator: Any) -> None:
    """Names of columns and results, as metadata that programs keep."""
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    if len(model.graph.input) > 1:
        _rename_inputs(model.graph, names)
    elif names:
        model.metadata_props.add(key="columns", value=json.dumps(names))
    results = list(read(model.SerializeToString())[0].output_names)
    for pattern, name in NAMES:
        results = [pattern.sub(name, each) if pattern.fullmatch(each) else each for each in results]
    if len(set(results)) == len(results):
        model.metadata_props.add(key="results", value=json.dumps(results))


def _rename_inputs(graph: GraphProto, names: list[str]) -> None:
    """skl2onnx writes names with spaces otherwise."""
    meant = {info.name: name for info, name in zip(graph.input, names, strict=True)}
    for info in graph.input:
        info.name = meant[info.name]
    for node in graph.node:
        node.input[:] = [meant.get(name, name) for name in node.input]
