"""What a process tells its operators of itself: one object per node, which its shells are given."""

from __future__ import annotations

from dataclasses import dataclass, field

from nodes.operations.health import Health
from nodes.operations.metrics import Metrics
from nodes.operations.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Metrics, traces, and whether it can work."""

    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = field(default_factory=Tracing)
    health: Health = field(default_factory=Health)
