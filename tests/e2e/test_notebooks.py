"""Notebooks against a network in their kernel and against processes on RabbitMQ; kernels that are killed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.notebooks import EXAMPLES, example, executed, kernel, of_cells
from tests.support.rabbitmq import Server

QUOTE = "'"
MODEL = 'sublet.linear({"a": 2.0, "b": -1.0}, bias=0.5)'


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, rabbitmq: Server) -> Iterator[Deployment]:
    """Hubs, renter and lessors as processes on RabbitMQ, for all tests here."""
    with deployment(tmp_path_factory.mktemp("notebooks") / "network", rabbitmq) as running:
        running.start_all()
        yield running


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_examples_are_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in example(path.stem).cells if cell.cell_type == "code"]
    assert cells
    assert [cell.outputs for cell in cells] == [[] for _ in cells]
    assert {cell.execution_count for cell in cells} == {None}


def test_a_model_is_scored_on_a_data_frame_of_pandas(tmp_path: Path) -> None:
    _, quoted, shown, scores, _ = executed(example("score"), tmp_path)
    assert quoted.startswith("569 rows × 30 columns: homomorphic")
    assert shown == "<IPython.core.display.HTML object>"
    header, index, first, *_ = scores.splitlines()
    assert header.split() == ["label", "probability_0", "probability_1"]
    assert index.split() == ["patient"]
    assert first.split()[:2] == ["0", "0"]


def test_a_column_is_summed_across_with_polars(tmp_path: Path) -> None:
    _, total, charged, explained, _ = executed(example("sum"), tmp_path)
    assert "sum_cost" in total
    assert "17840.72" in total
    assert "north" in charged
    assert "job.submitted" in explained.splitlines()[0]


def test_two_parties_fit_a_model_and_score_rows(tmp_path: Path) -> None:
    _, _, weights, good, ledger, scores, counted, theirs = executed(example("together"), tmp_path)
    assert len(weights.splitlines()) == 11
    together, alone = (float(each) for each in re.findall(r"0\.\d+", good))
    assert together > alone
    assert "not the maximum of the likelihood" in good
    assert re.search(r"renter +schur-statistics +66 ", ledger)
    assert scores.split()[:3] == ["patient", "score", "probability"]
    assert float(counted) > alone
    assert len(theirs.splitlines()) == 6


@pytest.mark.rabbitmq
@pytest.mark.timeout(180)
def test_a_job_is_attached_to_again(network: Deployment, tmp_path: Path) -> None:
    _, job, _, scores, listed = executed(example("attach"), tmp_path, NODE=str(network.config("A11.A12")))
    number, patient, result = scores.splitlines()[1].split()
    assert (number, patient, float(result)) == ("0", "p0", -0.2)
    assert f"<{job.strip(QUOTE)} completed>" in listed


@pytest.mark.rabbitmq
@pytest.mark.timeout(180)
def test_a_job_outlives_the_kernel_that_submitted_it(network: Deployment, tmp_path: Path) -> None:
    """Five cells; after the last the kernel is killed."""
    first = (
        "import polars as pl, sublet",
        f"net = sublet.connect({str(network.config('A11.A12'))!r})",
        "df = pl.DataFrame({'key': list('xyz'), 'a': [1, 2, 3], 'b': [0.5, 1.5, 2.5]})",
    )
    submitting = f"job = net.submit(df, {MODEL}, id='key', protection='enclave', accept=['software-enclave'])"
    notebook = of_cells(*first, submitting, "import os; print(os.getpid(), job.id)")
    with kernel(notebook, tmp_path) as client:
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        process, job = notebook.cells[-1].outputs[0]["text"].split()
        os.kill(int(process), signal.SIGKILL)
    again = of_cells(*first, f"scores = net.job({job!r}).result(timeout=60)", "print(type(scores), scores.to_dicts())")
    shown = executed(again, tmp_path)[-1]
    expected = [{"key": key, "result": result} for key, result in zip("xyz", (2.0, 3.0, 4.0), strict=True)]
    assert shown == f"<class 'polars.dataframe.frame.DataFrame'> {expected}\n"
