# SPDX-License-Identifier: AGPL-3.0-only
"""Real Celery prefork workers with the agent attached, as an operator would start them."""

import importlib.util
import itertools
import os
import sys
from pathlib import Path

import psutil
from tests.support.e2e_server import eventually

from queuedeck.demo.children import start

REPOSITORY = Path(__file__).resolve().parents[2]
AGENT = [str(Path(sys.executable).parent / "queuedeck-agent"), "run", "--"]
READY = " ready."
RESULT_S = 20
"""How long a test waits for the result of a task."""
_numbers = itertools.count(1)
started = []
"""All processes, so that a failed test leaves none behind: `conftest` ends them."""


def start_worker(folder, broker, dsn, *options, slots=2, name=None, wait=True, environment=None):
    """`queuedeck-agent run -- celery worker`; its log is `<folder>/<name>.log`."""
    name = name or f"worker{next(_numbers)}"
    celery = [sys.executable, "-m", "celery", "-A", "tests.support.e2e_app"]
    run = ["worker", "-c", str(slots), "-n", f"{name}@%h", "-l", "info", *options]
    worker = start(
        name,
        [*AGENT, *celery, *run, "--without-mingle", "--without-gossip"],
        folder,
        _environment(folder, broker, dsn, environment),
    )
    started.append(worker)
    if wait:
        eventually(lambda: worker.check() or READY in worker.log.read_text(), 40)
    return worker


def pool_children(worker):
    """The processes that run tasks: children of the one process that has children of its own."""
    main = psutil.Process(worker.pid)
    return main.children(recursive=True)


def agent_lines(log):
    """The lines of a worker's log that are the agent's."""
    return "\n".join(line for line in log.splitlines() if "queuedeck" in line.lower())


def run_attached(folder, broker, dsn, code, name="producer"):
    """A process with the agent that runs some Python, for example to publish."""
    environment = _environment(folder, broker, dsn, None)
    producer = start(name, [*AGENT, sys.executable, "-c", code], folder, environment)
    started.append(producer)
    return producer


def _environment(folder, broker, dsn, more):
    return {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "QUEUEDECK_DSN": dsn,
        "QUEUEDECK_SPOOL": str(folder / "spool"),
        "C_FORCE_ROOT": "1",
        **broker.environment,
        **(more or {}),
    }


clients = []
"""Celery applications of `app_for`."""


def app_for(broker):
    """The tests' own view of the Celery application, without the agent: a plain producer.

    Loaded anew for each broker, since the module reads where its broker is when it is loaded.
    """
    before = dict(os.environ)
    os.environ.update(broker.environment)
    try:
        file = REPOSITORY / "tests/support/e2e_app.py"
        spec = importlib.util.spec_from_file_location(f"e2e_app_{broker.queue}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        os.environ.clear()
        os.environ.update(before)
    clients.append(module.app)
    return module


def close_clients():
    """Before their broker ends: each result that is dropped later would try to reach it for 20 s,
    in a finalizer, where no time limit gets through.
    """
    while clients:
        consumer = clients.pop().backend.result_consumer
        consumer.stop()
        consumer._pubsub = None
