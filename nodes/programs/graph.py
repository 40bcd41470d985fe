"""Nodes and constants of an untrusted graph, each compared with the table of operators and the bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from nodes.programs.allowed import FIELDS, names, signature
from nodes.programs.limits import ProgramLimits
from nodes.programs.operators import ML
from nodes.programs.program import AttributeValue, Node, Signature
from nodes.programs.tensors import array_of
from nodes.programs.trees import require_trees
from nodes.programs.values import Array
from schemas.errors import BadProgram

T = TypeVar("T")
CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
OPERATOR_ERRORS = (ArithmeticError, ValueError, TypeError, LookupError, MemoryError)
"""What wrong attributes and operands can raise in an operator's function."""


def is_name(name: object, limits: ProgramLimits) -> bool:
    """Whether it names a value. A name that is not UTF-8 comes out of the parser as bytes."""
    return isinstance(name, str) and 0 < len(name.encode()) <= limits.name_bytes_max


def require_text(graph: GraphProto) -> None:
    """That all names are text, also those of graphs inside operators. Raises BadProgram."""
    names = [each.name for each in (*graph.input, *graph.output, *graph.initializer)]
    for node in graph.node:
        names += (node.op_type, node.domain, *node.input, *node.output, *(each.name for each in node.attribute))
        for attribute in node.attribute:
            require_text(attribute.g)
    if not all(isinstance(name, str) for name in names):
        raise BadProgram("a name in the program is not UTF-8 text")


def constants_of(graph: GraphProto, limits: ProgramLimits) -> dict[str, Array]:
    """The initialisers as arrays. Raises BadProgram."""
    constants: dict[str, Array] = {}
    elements = 0
    for tensor in graph.initializer:
        if not is_name(tensor.name, limits) or tensor.name in constants:
            raise BadProgram("the program's initialisers need different names")
        array = array_of(tensor, limits)
        elements += array.size
        if elements > limits.constant_elements_max:
            raise BadProgram(f"the program has more than {limits.constant_elements_max:,} numbers in its initialisers")
        constants[tensor.name] = array
    return constants


def nodes_of(
    graph: GraphProto,
    versions: Mapping[str, int],
    known: frozenset[str],
    outputs: Sequence[str],
    limits: ProgramLimits,
) -> tuple[Node, ...]:
    """The nodes that the outputs need, in the graph's order, which must be an order of execution. Raises BadProgram."""
    defined = set(known)
    found: list[tuple[NodeProto, Signature]] = []
    for node in graph.node:
        operator = _signature(node, versions)
        _require_shape(node, operator, limits)
        for name in node.input:
            if name and name not in defined:
                raise _bad(node, f"reads {name[:64]!r}, which nothing before it has made")
        for name in node.output:
            if name in defined:
                raise _bad(node, f"makes {name[:64]!r}, which exists already")
        defined.update(name for name in node.output if name)
        found.append((node, operator))
    for name in outputs:
        if name not in defined:
            raise BadProgram(f"nothing makes the program's output {name[:64]!r}")
    return _needed(found, outputs, limits)


def _bad(node: NodeProto, reason: str) -> BadProgram:
    name = node.op_type[:64]
    return BadProgram(f"{name}: {reason}", operator=name)


def _signature(node: NodeProto, versions: Mapping[str, int]) -> Signature:
    name, domain = node.op_type[:64], "" if node.domain == "ai.onnx" else node.domain[:64]
    if name in CONTROL_FLOW and not domain:
        raise BadProgram(
            f"{name} is not allowed: programs have no control flow; unroll it when exporting", operator=name
        )
    allowed = names()
    if (domain, name) not in allowed:
        known = ", ".join(sorted(key[1] for key in allowed if key[0] == domain))
        hint = f"; allowed are {known}" if known else f"; the domains are ai.onnx and {ML}"
        extra = " (it may stand at the end only)" if name == "ZipMap" else ""
        shown = f"{domain}.{name}" if domain else name
        raise BadProgram(f"the operator {shown} is not allowed{extra}{hint}", operator=name)
    if domain not in versions:
        raise _bad(node, f"the program does not import the operator set of {domain or 'ai.onnx'}")
    found = signature(domain, name, versions[domain])
    if found is None:
        raise _bad(node, f"does not exist in operator set {versions[domain]}")
    return found


def _require_shape(node: NodeProto, operator: Signature, limits: ProgramLimits) -> None:
    """Arity and names."""
    fewest, most = operator.operands
    if not fewest <= len(node.input) <= most or any(not name for name in node.input[:fewest]):
        raise _bad(node, f"has {len(node.input)} operands; it takes {fewest} to {most}")
    if not 1 <= len(node.output) <= operator.outputs or not any(node.output):
        raise _bad(node, f"has {len(node.output)} outputs; it gives at most {operator.outputs}")
    if len(node.input) + len(node.output) > limits.names_per_node_max:
        raise _bad(node, f"has more than {limits.names_per_node_max:,} operands and outputs")
    if not all(is_name(name, limits) for name in (*node.input, *node.output) if name):
        raise _bad(node, f"has a name of more than {limits.name_bytes_max} bytes")
    named = [name for name in node.output if name]
    if len(set(named)) != len(named):
        raise _bad(node, "makes the same output twice")


def _needed(
    found: Sequence[tuple[NodeProto, Signature]], outputs: Sequence[str], limits: ProgramLimits
) -> tuple[Node, ...]:
    """Walk back from the outputs. Attributes are read for every node: a bad one is refused even if nothing needs it."""
    wanted = set(outputs)
    nodes: list[Node] = []
    for node, operator in reversed(found):
        attributes = _attributes(node, operator, limits)
        used = tuple(bool(name) and name in wanted for name in node.output)
        if not any(used):
            continue
        wanted.update(name for name in node.input if name)
        inputs = tuple(node.input)
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        domain = "" if node.domain == "ai.onnx" else node.domain
        made = Node(node.op_type, domain, operator, inputs, tuple(node.output), attributes, used)
        _require_sound(made, limits)
        nodes.append(made)
    return tuple(reversed(nodes))


def _require_sound(node: Node, limits: ProgramLimits) -> None:
    if node.integer("training_mode", 0):
        raise BadProgram(f"{node.operator}: is in training mode; export it for inference", operator=node.operator)
    if node.operator == "FeatureVectorizer" and min(node.integers("inputdimensions") or (0,)) < 1:
        # the engine would write before its memory's beginning
        raise BadProgram("FeatureVectorizer: its inputdimensions must be at least 1", operator=node.operator)
    try:
        require_trees(node, limits)
    except BadProgram as error:
        if error.operator is not None:
            raise
        raise BadProgram(f"{node.operator}: {error}", operator=node.operator) from error


def _attributes(node: NodeProto, operator: Signature, limits: ProgramLimits) -> dict[str, AttributeValue]:
    if len(node.attribute) > limits.attributes_per_node_max:
        raise _bad(node, f"has {len(node.attribute)} attributes; at most {limits.attributes_per_node_max} are allowed")
    attributes: dict[str, AttributeValue] = {}
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) or attribute.HasField("g"):
            raise _bad(node, "has a graph inside; programs have no control flow")
        if attribute.name not in operator.attributes or attribute.name in attributes:
            raise _bad(node, f"has the attribute {attribute.name[:64]!r}, which is not allowed")
        attributes[attribute.name] = _attribute(node, attribute, operator.attributes[attribute.name], limits)
    return attributes


def _attribute(node: NodeProto, attribute: AttributeProto, kind: int, limits: ProgramLimits) -> AttributeValue:
    value = getattr(attribute, FIELDS[kind]) if attribute.type == kind in FIELDS else None
    most = {
        AttributeProto.STRING: limits.name_bytes_max,
        AttributeProto.FLOATS: limits.tensor_elements_max,
        AttributeProto.INTS: limits.tensor_elements_max,
        AttributeProto.STRINGS: limits.tree_nodes_max,
    }
    if value is None or (kind in most and len(value) > most[kind]):
        raise _bad(node, f"the values of its {attribute.name} are of another type or size than it takes")
    if isinstance(value, TensorProto):
        return array_of(value, limits)
    return value if isinstance(value, int | float | bytes) else _shared(value)


def _shared(values: Iterable[T]) -> tuple[T, ...]:
    """Equal ones once in memory: the lists of a forest repeat few numbers and texts a million times.

    But for zeros, which are equal and not the same.
    """
    seen: dict[T, T] = {}
    return tuple(seen.setdefault(value, value) if value else value for value in values)
