# SPDX-License-Identifier: AGPL-3.0-only
"""Installing the agent's wheel beside Celery and setting one variable is all it takes."""

import os
import subprocess
import sys

import pytest
from tests.support.e2e_server import Server, eventually, make_project
from tests.support.e2e_wheels import call, find_python, make_environment

from queuedeck.demo.broker import start_broker
from queuedeck.demo.children import start

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(400)]

PROJECT = """
import os
from celery import Celery

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ["BROKER"])


@app.task
def double(n):
    return 2 * n


@app.task
def modules():
    import sys
    ours = [name for name in sys.modules if name.startswith("queuedeck")]
    return ours + [name for name in ("websockets", "msgspec") if name in sys.modules]
"""

MODULES = """
import sys
import celery.app.base
print([n for n in sys.modules if n.startswith("queuedeck") or n in ("websockets", "msgspec")])
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    process, url = start_broker(tmp_path_factory.mktemp("broker"))
    yield url
    process.stop()


@pytest.fixture(scope="module")
def place(wheels, broker, tmp_path_factory):
    """A small project of somebody else, with Celery and our agent installed by pip."""
    return _make_place(tmp_path_factory.mktemp("project"), sys.executable, wheels, broker)


@pytest.fixture(scope="module")
def project(server_environment, tmp_path_factory):
    """A project on a server that was installed from its wheel."""
    server = Server(tmp_path_factory.mktemp("server"), [str(server_environment / "queuedeck")])
    server.start()
    yield make_project(server, "Proj")
    server.stop()


def test_worker_attaches_by_itself(place, project):
    worker = _worker(place, project.dsn)
    sent = _python(place, project.dsn, "import proj; print(proj.double.delay(21).get(timeout=20))")
    found = eventually(lambda: project.api.tasks("state:succeeded") or worker.check())
    worker.stop()
    assert sent.strip() == "42"
    assert [task["name"] for task in found] == ["proj.double"]
    assert "queuedeck" in worker.log.read_text().lower()


def test_worker_on_the_oldest_python_attaches(wheels, broker, project, tmp_path):
    found = find_python("3.10")
    if not found:
        pytest.skip("there is no Python 3.10 on this machine")
    place = _make_place(tmp_path, found, wheels, broker)
    worker = _worker(place, project.dsn)
    code = "import proj; print(proj.double.apply_async((4,), task_id='on-3.10').get(timeout=20))"
    assert _python(place, project.dsn, code).strip() == "8"
    eventually(lambda: project.api.states().get("on-3.10") == "succeeded")
    worker.stop()


def test_producer_attaches_by_itself(place, project):
    code = "import proj; proj.double.apply_async((1,), queue='nobody', task_id='from-a-producer')"
    _python(place, project.dsn, code)
    eventually(lambda: project.api.states().get("from-a-producer") == "queued")


def test_nothing_of_ours_is_imported_without_the_variable(place):
    assert _python(place, None, MODULES).strip() == "[]"


def test_worker_without_the_variable_has_nothing_of_ours(place):
    worker = _worker(place, None)
    answer = _python(place, None, "import proj; print(proj.modules.delay().get(timeout=20))")
    worker.stop()
    assert answer.strip() == "[]"
    assert "queuedeck" not in worker.log.read_text().lower()


@pytest.mark.parametrize("command", ["-m pip list", "-m celery -A proj report", "-c pass"])
def test_other_programs_do_not_connect(place, project, command):
    """Whoever connects says so in one line."""
    done = _run(place, project.dsn, command.split())
    assert done.returncode == 0
    assert "queuedeck" not in done.stderr.lower()


def _make_place(folder, python, wheels, broker):
    """(folder of the project, its Python, the broker)."""
    python = make_environment(folder / "venv", python)
    call([python.parent / "pip", "install", "-q", "celery[redis]==5.6.*", wheels.agent])
    (folder / "proj.py").write_text(PROJECT)
    return folder, python, broker


def _worker(place, dsn):
    folder, python, _ = place
    name = f"worker-{'with' if dsn else 'without'}"
    command = [str(python), "-m", "celery", "-A", "proj", "worker", "-c", "1", "-l", "info"]
    worker = start(name, command, folder, _environment(place, dsn))
    eventually(lambda: worker.check() or " ready." in worker.log.read_text(), 40)
    return worker


def _python(place, dsn, code):
    done = _run(place, dsn, ["-c", code])
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(place, dsn, arguments):
    folder, python, _ = place
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env={**os.environ, **_environment(place, dsn)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _environment(place, dsn):
    folder, _, broker = place
    return {
        "BROKER": broker,
        "PYTHONPATH": "",
        "QUEUEDECK_DSN": dsn or "",
        "QUEUEDECK_SPOOL": str(folder / "spool"),
    }
