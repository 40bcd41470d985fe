"""How far an error at a program's inputs can reach into its results, where that is easy to prove. Pure.

A bound is a Lipschitz constant in the largest difference: a sigmoid's is 1/4, a softmax's 1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from nodes.programs.algebra import FLOATS
from nodes.programs.program import Node, Program

STEPS: Final = frozenset(
    {"ArgMax", "ArgMin", "Binarizer", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "Hardmax", "Less"}
    | {"LessOrEqual", "Round", "Sign"}
)
"""What comes out of them stays the same until it flips."""
_LABELLING: Final = frozenset({"LinearClassifier", "SVMClassifier"})
"""Their first output is a label."""
_FLAT: Final = frozenset(
    {"Abs", "Cast", "Concat", "Dropout", "Flatten", "Gather", "Identity", "Neg", "Relu", "Reshape", "Slice", "Split"}
    | {"Squeeze", "Tanh", "Transpose", "Unsqueeze"}
)
_BOUNDS: Final = dict.fromkeys(_FLAT, 1.0) | {"Sigmoid": 0.25, "Softmax": 0.5}
_TRANSFORMS: Final = {"NONE": 1.0, "LOGISTIC": 0.25, "SOFTMAX": 0.5}


@dataclass(frozen=True, slots=True)
class Steepness:
    """What an error of 1 at the inputs comes to at most in results; infinite where that is not known.

    With `flips` there are results that do not change by little: labels near a tie become others.
    """

    factor: float
    flips: bool


def steepness(program: Program) -> Steepness:
    """Of a program that runs on results of ciphertexts."""
    factors = {each.name: 1.0 for each in program.inputs}
    shares: set[str] = set()  # each row's sum is 1 already, so that a norm of 1 changes nothing
    flips = False
    for node in program.nodes:
        known = [factors[name] for name in node.inputs if name in factors]
        for position, name in enumerate(node.outputs):
            if known and name:
                same = node.operator == "Normalizer" and node.text("norm", "MAX") == "L1" and node.inputs[0] in shares
                factors[name] = max(known) if same else _factor(node, position, max(known))
                if same or "SOFTMAX" in (node.operator.upper(), node.text("post_transform", "NONE")):
                    shares.add(name)
        flips |= bool(known) and (_is_step(node) or (node.operator in _LABELLING and node.wanted[0]))
    return Steepness(max(factors[name] for name in program.outputs), flips)


def _is_step(node: Node) -> bool:
    """Casts to whole numbers are, and to float16, whose neighbours are far from each other."""
    return node.operator in STEPS or (node.operator == "Cast" and node.integer("to", 0) not in FLOATS)


def _factor(node: Node, position: int, before: float) -> float:
    """0 for what only flips."""
    if _is_step(node) or before == 0.0:
        return 0.0
    if node.operator == "LinearClassifier":
        return before * _classifier(node) if position else 0.0
    return before * _BOUNDS.get(node.operator, math.inf)


def _classifier(node: Node) -> float:
    rows = len(node.numbers("intercepts") or (0.0,))
    weights = np.abs(np.array(node.numbers("coefficients") or (math.inf,)))
    sums = float(weights.reshape(rows, -1).sum(axis=1).max()) if len(weights) % rows == 0 else math.inf
    return sums * _TRANSFORMS.get(node.text("post_transform", "NONE"), math.inf)
