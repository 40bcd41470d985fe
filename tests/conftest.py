"""What all tests share: a test that needs RabbitMQ may be skipped at a desk, but never in continuous integration."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip of a `rabbitmq` test into a failure where CI is set."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and os.environ.get("CI") and item.get_closest_marker("rabbitmq"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow for RabbitMQ tests: {report.longrepr}"
    return report
