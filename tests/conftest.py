"""What all tests share: a cache folder, a RabbitMQ, and the rule that continuous integration skips no test of it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import postgres as postgresql
from tests.support.rabbitmq import Server, running

# Tests share the cores: how long one example takes says nothing. A test's own time is bounded by `timeout`.
settings.register_profile("shared-cores", deadline=None)
settings.load_profile("shared-cores")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache folder, which is not the user's: measurements of this machine are shared by all tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Server]:
    """The given RabbitMQ, or a private one; without either its tests fail, and NoServer says how to get one."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """The given PostgreSQL, or a private one; without either its tests fail, and NoServer says how to get one."""
    with postgresql.running() as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip of a `rabbitmq` test into a failure where CI is set."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and os.environ.get("CI") and item.get_closest_marker("rabbitmq"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow for RabbitMQ tests: {report.longrepr}"
    return report
