# SPDX-License-Identifier: AGPL-3.0-only
"""Flower on the same worker: both see every task, and neither disturbs the other."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conformance.harness import BROKER, call, eventually, key
from tests.matrix import environment
from tests.matrix.cells import Cell
from tests.mixed.conftest import Place

pytestmark = [pytest.mark.engine, pytest.mark.packaging]

FLOWER = Cell(
    "flower", "celery", ("flower==2.0.1", "celery==5.6.3", "kombu<5.7", "redis<6", "setuptools<81")
)
"""In an environment of its own: installed beside Celery, it is loaded by each `celery` command."""
KINDS = ("note", "fail", "again")
EACH = 40
WORDS = {"succeeded": "SUCCESS", "failed": "FAILURE"}

Ask = Callable[[str], Any]


@pytest.fixture
def flower(tmp_path: Path) -> Iterator[Ask]:
    """Flower on the broker of the tests; asks its API."""
    celery = environment.make(FLOWER).with_name("celery")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [celery, f"--broker={BROKER}", "flower", "--address=127.0.0.1", f"--port={port}"]
    env = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "true", "QUEUEDECK_DSN": ""}

    def ask(path: str) -> Any:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/{path}", timeout=5)
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: ask("tasks?limit=1") is not None, 30)
        yield ask
    finally:
        process.kill()
        process.wait(10)


def test_both_see_every_task(place: Place, flower: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, api = place("celery")
    with_events = [*worker.command(), "-E"]
    monkeypatch.setattr(worker, "command", lambda: with_events)
    worker.start()
    eventually(lambda: any(worker.queue in one for one in flower("workers?refresh=1") or {}), 30)
    codes = [worker.sending(call(kind, key())) for kind in KINDS for _ in range(EACH)]
    sent: list[str] = eval(worker.attached(f"print([{', '.join(codes)}])"))
    expected = dict.fromkeys(sent, "succeeded") | dict.fromkeys(sent[EACH : 2 * EACH], "failed")

    def flowers() -> dict[str, str]:
        return {one: told["state"] for one, told in (flower("tasks") or {}).items() if one in sent}

    eventually(lambda: api.states() == expected, 60)
    eventually(lambda: flowers() == {one: WORDS[state] for one, state in expected.items()}, 30)
    assert len(worker.told("note")) == EACH
    assert len(worker.told("again")) == 2 * EACH
