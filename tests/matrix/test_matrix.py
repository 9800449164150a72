# SPDX-License-Identifier: AGPL-3.0-only
"""The matrix itself, and that a cell which cannot be run here is never said to have passed."""

from pathlib import Path

import pytest
from msgspec import structs
from tests.matrix import brokers, cells, environment, run
from tests.matrix.cells import Cell

CELLS = cells.load()
ENGINES = {"arq", "celery", "dramatiq", "huey", "rq", "taskiq"}
NOWHERE = "amqp://guest:guest@127.0.0.1:9//"
REDIS = "redis://127.0.0.1:6379/14"


def test_every_engine_is_run_in_several_versions() -> None:
    seen = {(one.engine, one.packages[0]) for one in CELLS if one.broker == "redis"}
    assert {engine for engine, _ in seen} == ENGINES
    assert all(sum(one == engine for one, _ in seen) >= 3 for engine in ENGINES)


def test_names_are_unique_and_tell_the_broker() -> None:
    assert len({one.name for one in CELLS}) == len(CELLS)
    assert all(f"-{one.broker}" in one.name for one in CELLS)
    assert {one.engine for one in CELLS if one.broker == "rabbitmq"} == {"celery", "dramatiq"}


def test_records_are_of_cells() -> None:
    names = {one.stem for one in cells.RECORDS.glob("*.json")}
    assert names <= {one.name for one in CELLS}


def test_cell_without_its_interpreter_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "CACHE", tmp_path)
    cell = structs.replace(CELLS[0], name="test-nothing", python="3.2")
    outcome = run.run(cell, REDIS)
    assert (outcome.word, "no Python 3.2" in outcome.why) == ("not run", True)
    assert not cell.record.exists()
    assert list(tmp_path.iterdir()) == []


def test_cell_without_its_broker_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_RABBITMQ", NOWHERE)
    cell = structs.replace(CELLS[0], name="test-nothing", broker="rabbitmq")
    outcome = run.run(cell, REDIS)
    assert (outcome.word, "no RabbitMQ" in outcome.why) == ("not run", True)


def test_run_in_which_no_cell_was_run_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TEST_RABBITMQ", NOWHERE)
    assert run.main(["celery-5.2-rabbitmq"]) == 0
    told = capsys.readouterr().out
    assert "celery-5.2-rabbitmq: not run" in told
    assert "passed: 0\nfailed: 0\nnot run: 1\n" in told


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["rq-2.12-redis"], ["rq-2.12-redis"]),
        (["rq-2.12"], ["rq-2.12-redis", "rq-2.12-redis-py313"]),
        (["rq-2.12", "rq-2.0-redis"], ["rq-2.0-redis", "rq-2.12-redis", "rq-2.12-redis-py313"]),
        ([], [one.name for one in CELLS]),
    ],
    ids=["a name", "a beginning", "both", "all"],
)
def test_cells_are_chosen_by_name(wanted: list[str], expected: list[str]) -> None:
    assert [one.name for one in run.choose(wanted)] == expected


def test_unknown_cell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["kafka"]) == 2
    assert "kafka" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, brokers.USUAL_RABBITMQ), ({"TEST_RABBITMQ": NOWHERE}, NOWHERE)],
    ids=["usual", "named"],
)
def test_rabbitmq_of_the_tests(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_RABBITMQ", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(brokers, "answers", lambda url: url == expected)
    assert brokers.url_of("rabbitmq", REDIS) == expected
    assert brokers.url_of("redis", REDIS) == REDIS


def test_cell_is_made_of_what_the_matrix_says() -> None:
    (first,) = run.choose(["arq-0.28-redis"])
    assert first == Cell("arq-0.28-redis", "arq", ("arq==0.28.0", "redis<6"))
