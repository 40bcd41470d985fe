"""Modules of PyTorch as people write them, by the default exporter and by the older one through TorchScript."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.models.exports.made import Made
from tests.models.exports.rows import FIT, tables

SEED = 20


class Block(nn.Module):
    """A transformer block over the columns, each a token of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.last = nn.LayerNorm(8), nn.Linear(8, 1)
        self.forward_part = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.unsqueeze(-1))
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.norm(tokens + mixed)
        result: torch.Tensor = self.last((tokens + self.forward_part(tokens)).mean(dim=1))
        return result


class Words(nn.Module):
    """Tokens by number, embedded and averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Embedding(20, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(self.embed(x).mean(dim=1)), dim=-1)


class Residual(nn.Module):
    """Two paths that meet, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.gate = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.sigmoid(self.gate(x)) * torch.tanh(self.b(torch.relu(self.a(x))))


class TwoHeads(nn.Module):
    """A mean and a deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.deviation = nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(self.body(x))
        return self.mean(hidden), nn.functional.softplus(self.deviation(hidden))


class Standardised(nn.Module):
    """Constants of the training data inside the model; clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.linspace(-1, 1, 6))
        self.register_buffer("scale", torch.linspace(0.5, 2, 6))
        self.last = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.clamp((x - self.mean) / self.scale, -3, 3)).squeeze(-1)


class BestClass(nn.Module):
    """The number of the likeliest class."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x).argmax(dim=1)


def stack(*between: nn.Module, width: int = 8, last: int = 1) -> nn.Module:
    """Two linear layers with something between."""
    return nn.Sequential(nn.Linear(6, width), *between, nn.Linear(width, last))


def modules() -> dict[str, Callable[[], nn.Module]]:
    """By name."""
    windows = (nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.ReLU())
    return {
        "linear": lambda: nn.Linear(6, 2),
        "relu": lambda: stack(nn.ReLU()),
        "gelu": lambda: stack(nn.GELU()),
        "gelu-tanh": lambda: stack(nn.GELU("tanh")),
        "silu": lambda: stack(nn.SiLU()),
        "mish": lambda: stack(nn.Mish()),
        "selu-elu": lambda: stack(nn.SELU(), nn.Linear(8, 8), nn.ELU()),
        "hard-swish": lambda: stack(nn.Hardswish(), nn.Linear(8, 8), nn.Hardsigmoid()),
        "leaky-prelu": lambda: stack(nn.LeakyReLU(), nn.Linear(8, 8), nn.PReLU()),
        "layer-norm": lambda: stack(nn.LayerNorm(8), nn.ReLU()),
        "batch-norm": lambda: stack(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)),
        "group-norm": lambda: stack(nn.GroupNorm(2, 8), nn.SiLU()),
        "rms-norm": lambda: stack(nn.RMSNorm(8), nn.ReLU()),
        "softmax": lambda: nn.Sequential(stack(nn.ReLU(), last=3), nn.Softmax(dim=1)),
        "log-softmax": lambda: nn.Sequential(stack(nn.Tanh(), last=3), nn.LogSoftmax(dim=-1)),
        "conv": lambda: nn.Sequential(*windows, nn.Flatten(), nn.Linear(24, 1)),
        "conv-pool": lambda: nn.Sequential(*windows, nn.MaxPool1d(2), nn.Flatten(), nn.Linear(12, 2)),
        "conv-mean": lambda: nn.Sequential(*windows, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 1)),
        "residual": Residual,
        "two-heads": TwoHeads,
        "standardised": Standardised,
        "best-class": BestClass,
        "block": Block,
        "words": Words,
    }


OLDER = ("linear", "relu", "gelu", "layer-norm", "batch-norm", "softmax", "conv-pool", "block", "words", "two-heads")
"""By the exporter through TorchScript too."""


def made() -> Iterator[Made]:
    """Every model of this module, ready for inference."""
    for name, module in modules().items():
        yield _made(f"torch-{name}", module, dynamo=True)
    for name in OLDER:
        yield _made(f"torchscript-{name}", modules()[name], dynamo=False)
    yield _made("torch-external-data", lambda: stack(nn.ReLU(), width=64), dynamo=True, external_data=True)
    yield _made("torch-double", lambda: stack(nn.ReLU()).double(), dynamo=True, rows="doubles")


def _made(
    name: str, module: Callable[[], nn.Module], *, rows: str | None = None, external_data: bool = False, dynamo: bool
) -> Made:
    torch.manual_seed(SEED)
    ready = module().eval()
    _stir(ready)
    rows = rows or ("tokens" if name.endswith("words") else "numbers")
    dtype = {"tokens": np.int64, "doubles": np.float64}.get(rows, np.float32)
    table = torch.from_numpy(tables()[rows].astype(dtype))
    with torch.no_grad():
        said = ready(table[FIT:])
    outputs = said if isinstance(said, tuple) else (said,)
    files = _exported(ready, table[:FIT], dynamo=dynamo, external_data=external_data)
    beside = {key: value for key, value in files.items() if key != "model.onnx"}
    results = {f"output_{i}": each.numpy() for i, each in enumerate(outputs)}
    return Made(name, files["model.onnx"], rows, results, beside)


def _stir(module: nn.Module) -> None:
    """Statistics as after training."""
    for each in module.modules():
        if isinstance(each, nn.BatchNorm1d):
            nn.init.uniform_(each.running_mean, -1, 1)
            nn.init.uniform_(each.running_var, 0.5, 2)


def _exported(module: nn.Module, rows: torch.Tensor, *, dynamo: bool, external_data: bool) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options: dict[str, Any] = {"input_names": ["x"], "dynamo": dynamo}
        if dynamo:
            options |= {
                "dynamic_shapes": ({0: torch.export.Dim("rows")},),
                "external_data": external_data,
                "verbose": False,
            }
        else:
            options |= {"dynamic_axes": {"x": {0: "rows"}}}
        torch.onnx.export(module, (rows,), path, **options)
        return {each.name: each.read_bytes() for each in sorted(Path(folder).iterdir())}
