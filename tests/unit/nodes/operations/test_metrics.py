"""Metrics: bounded labels, one registry per node, and the table of them in the operators' page."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nodes.operations.metrics import OTHER, VALUES_MAX, Metrics
from tests.support.documents import OPERATORS, metrics_table


def labels(metrics: Metrics, name: str, label: str) -> set[str]:
    page = generate_latest(metrics.registry).decode()
    return {
        sample.labels[label]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    }


def test_codes_beyond_a_bound_are_counted_together() -> None:
    metrics = Metrics()
    for number in range(VALUES_MAX + 50):
        metrics.refused(f"code-{number}")
    seen = labels(metrics, "sublet_refusals_total", "code")
    assert (len(seen), OTHER in seen) == (VALUES_MAX + 1, True)


def test_two_nodes_of_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.refused("too-old")
    assert labels(one, "sublet_refusals_total", "code") == {"too-old"}
    assert labels(other, "sublet_refusals_total", "code") == set()


def test_a_state_without_jobs_is_not_told_of_any_more() -> None:
    metrics = Metrics()
    metrics.jobs({"running": 1})
    metrics.jobs({"completed": 1})
    assert labels(metrics, "sublet_jobs", "state") == {"completed"}


def test_the_operators_page_lists_every_metric() -> None:
    assert metrics_table() in OPERATORS.read_text(), "run `make documents`"
