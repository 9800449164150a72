# SPDX-License-Identifier: AGPL-3.0-only
"""Loading at Python's start: inert without the variable, and never in the way of anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import spool

from queuedeck_agent import attachment, cli


def run_python(
    folder: Path, code: str, environment: dict[str, str] | None = None, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{cli.LAUNCH_FOLDER}:{folder}",
            "QUEUEDECK_SPOOL": str(folder / "spool"),
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "attaches"),
    [
        ("celery -A proj worker -c 4", True),
        ("celery --app proj -b redis://x worker", True),
        ("celery -A worker beat", True),
        ("celery -A worker inspect ping", False),
        ("celery -A proj control shutdown", False),
        ("celery -A proj purge -f", False),
        ("celery -A proj shell", False),
        ("celery -A proj status", False),
        ("celery -A proj call tasks.add", True),
        ("celery -A proj flower", False),
        ("celery --version", False),
        ("python -m celery -A proj worker", True),
        ("python -m celery -A proj inspect ping", False),
        ("python -W ignore -X dev -m celery -A proj worker", True),
        ("rq worker high default", True),
        ("rq worker-pool -n 2", True),
        ("rq requeue --all", True),
        ("rq info", False),
        ("rq suspend", False),
        ("rq", False),
        ("python -m rq.cli worker", True),
        ("python manage.py runserver", True),
        ("python manage.py migrate", False),
        ("python manage.py makemigrations", False),
        ("python manage.py shell", False),
        ("./manage.py shell_plus", False),
        ("python manage.py send_mails", True),
        ("python manage.py queuedeck_check", False),
        ("python manage.py celery worker", True),
        ("python -m django migrate", False),
        ("django-admin startproject x", False),
        ("gunicorn proj.wsgi", True),
        ("python -m uvicorn proj:app", True),
        ("flask --app x run", True),
        ("flask shell", False),
        ("pip install x", False),
        ("python -m pip install x", False),
        ("python -m pytest tests", False),
        ("alembic upgrade head", False),
        ("ipython", False),
        ("python", False),
        ("python -i", False),
        ("python -c pass", True),
        ("python script.py worker", True),
        ("python -mcelery -A proj worker", True),
        ("python -", False),
        ("huey_consumer app.huey -k process", True),
        ("huey_consumer.py app.huey", True),
        ("arq app.WorkerSettings", True),
        ("dramatiq app -p 2", True),
        ("python -m dramatiq app", True),
        ("taskiq worker app:broker", True),
        ("taskiq scheduler app:scheduler", True),
        ("arq app.WorkerSettings --check", False),
        ("queuedeck demo", False),
        ("queuedeck serve", False),
        ("python -m queuedeck serve", False),
        ("python -m queuedeck.demo.producer", True),
    ],
)
def test_command_line_decides(command: str, attaches: bool) -> None:
    words = command.split()
    argv = words if words[0] == "python" else [sys.executable, f"/venv/bin/{words[0]}", *words[1:]]
    assert attachment.decide(argv).attach is attaches


@pytest.mark.parametrize("command", ["python", "python - words", "python -u -"])
def test_script_from_the_standard_input_may_enqueue(command: str) -> None:
    assert attachment.decide(command.split(), piped=True).attach
    assert not attachment.decide(command.split(), piped=False).attach


def test_script_from_the_standard_input_attaches(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-"],
        input="import celery.signals as s; print(len(s.before_task_publish.receivers))",
        env={"PYTHONPATH": str(cli.LAUNCH_FOLDER), "QUEUEDECK_DSN": spool.dsn()},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.strip() == "1"


def test_without_the_variable_nothing_is_loaded(tmp_path: Path) -> None:
    code = "import sys, celery.signals; print([m for m in sys.modules if 'queuedeck' in m])"
    assert run_python(tmp_path, code).stdout.strip() == "[]"


def test_before_an_engine_is_imported_only_the_watcher_is_loaded(tmp_path: Path) -> None:
    code = (
        "import json, sys; print(json.dumps(sorted(m for m in sys.modules if 'queuedeck' in m"
        " or m in ('logging', 'msgspec', 'asyncio', 'socket'))))"
    )
    found = run_python(tmp_path, code, {"QUEUEDECK_DSN": spool.dsn()})
    assert json.loads(found.stdout) == ["queuedeck_agent", "queuedeck_agent.autoload"]


def test_importing_celery_connects_and_opens_nothing(tmp_path: Path) -> None:
    code = (
        "import threading, celery, celery.signals as s;"
        "print(len(s.before_task_publish.receivers), len(s.task_prerun.receivers),"
        " threading.active_count(), celery.signals.__loader__.__class__.__name__,"
        " celery.signals.__spec__.loader.__class__.__name__)"
    )
    found = run_python(tmp_path, code, {"QUEUEDECK_DSN": spool.dsn()})
    assert found.stdout.split() == ["1", "0", "1", "SourceFileLoader", "SourceFileLoader"]
    assert not (tmp_path / "spool").exists()


def test_broken_dsn_warns_once_and_the_host_goes_on(tmp_path: Path) -> None:
    code = (
        "from celery import Celery\n"
        "app = Celery('x', broker='memory://')\n"
        "app.send_task('a'), app.send_task('b')\n"
        "print('went on')"
    )
    found = run_python(tmp_path, code, {"QUEUEDECK_DSN": "https://nonsense"})
    assert found.stdout.strip() == "went on"
    assert found.stderr.count("not attached") == 1


def test_broken_agent_does_not_stop_an_import(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['queuedeck_agent.attachment'] = None\n"
        "import celery.signals; print('went on')"
    )
    found = run_python(tmp_path, code, {"QUEUEDECK_DSN": spool.dsn()})
    assert found.stdout.strip() == "went on"
    assert "not attached" in found.stderr


def test_sitecustomize_of_the_application_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("mine = 7\n")
    found = run_python(tmp_path, "import sitecustomize; print(sitecustomize.mine)")
    assert found.stdout.strip() == "7"


def test_run_starts_the_command_with_the_launch_folder_first(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", sys.executable, "-c",
         "import sys; print('queuedeck_agent.autoload' in sys.modules)"],
        env={"QUEUEDECK_DSN": spool.dsn(), "QUEUEDECK_SPOOL": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.strip() == "True"


def test_run_without_the_variable_says_so_and_runs(capfd: pytest.CaptureFixture[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", "echo", "hello"],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.strip() == "hello"
    assert "QUEUEDECK_DSN is not set" in found.stderr


def test_run_of_an_unknown_command_is_an_error() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "queuedeck_agent.cli", "run", "--", "no-such-command"],
        env={"PATH": "/usr/bin:/bin", "QUEUEDECK_DSN": "x"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 127
    assert "cannot start `no-such-command`" in found.stderr
