# SPDX-License-Identifier: AGPL-3.0-only
"""`queuedeck demo`, as people run it: unattended with its counts, and until Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from tests.support.e2e_server import eventually

from queuedeck.demo.broker import free_port
from queuedeck.domain.tasks.filters import ENGINES

DIRECT = ["broker", "server", *ENGINES, "beat", "website"]
"""What the demo starts itself."""
COMMAND = [sys.executable, "-m", "queuedeck", "demo"]


def run_demo(tmp_path, *arguments, **environment):
    return subprocess.Popen(
        [*COMMAND, "--port", str(free_port()), *arguments],
        env={**os.environ, "TMPDIR": str(tmp_path), "QUEUEDECK_DSN": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("broker", ["redis-server", "fakeredis"])
def test_unattended_run_agrees_with_itself(tmp_path, broker):
    """Without redis-server on the PATH the demo brings a broker of its own."""
    demo = run_demo(tmp_path, "--seconds", "45", "--json", PATH=_path_with(broker))
    output, errors = demo.communicate(timeout=115)
    assert demo.returncode == 0, errors
    numbers = json.loads(output)
    assert set(numbers["engines"]) == set(ENGINES)
    assert numbers["engines_missing"] == []
    assert numbers["sent"] == numbers["ran"] == numbers["stored"]
    for counts in numbers["engines"].values():
        assert counts["sent"] == counts["ran"] == counts["stored"]
        assert min(counts["succeeded"], counts["failed"], counts["retried"]) > 0
    assert numbers["tasks"]["celery"]["succeeded"] > 20
    assert numbers["tasks"]["celery"]["failed"] > 0
    assert numbers["tasks"]["celery"]["cancelled"] > 0
    assert numbers["retries_done"] > 0
    assert numbers["commands"]["failed"] == 0
    assert numbers["events_lost"] == 0
    assert numbers["events_received"] > 3 * numbers["total"]["succeeded"]
    assert list(tmp_path.glob("queuedeck-demo-*")) == []


def test_engine_that_cannot_run_is_said_and_the_others_go_on(tmp_path):
    broken = tmp_path / "broken" / "huey"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no Huey today')")
    path = os.pathsep.join(filter(None, (str(broken.parent), os.environ.get("PYTHONPATH"))))
    demo = run_demo(tmp_path, "--seconds", "24", "--json", PYTHONPATH=path)
    output, errors = demo.communicate(timeout=115)
    assert demo.returncode == 1
    assert "huey does not run: its worker ended: ImportError: no Huey today." in errors
    numbers = json.loads(output)
    assert numbers["engines_missing"] == ["huey"]
    assert set(numbers["engines"]) == set(ENGINES) - {"huey"}
    assert numbers["sent"] == numbers["ran"] == numbers["stored"]


def test_demo_logs_in_by_its_link_and_leaves_nothing_behind(tmp_path):
    demo = run_demo(tmp_path)
    link = _read_link(demo)
    page = eventually(lambda: _get(link))
    assert page.status_code == 200
    family = eventually(lambda: _family_of(demo))
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=40)
    assert demo.returncode == 0
    psutil.wait_procs(family, timeout=5)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert list(tmp_path.glob("queuedeck-demo-*")) == []


def _family_of(demo):
    """All its processes, once those are there that its own ones start, as Celery's pool."""
    found = psutil.Process(demo.pid).children(recursive=True)
    return found if len(found) > len(DIRECT) else None


def _read_link(demo):
    for line in demo.stdout:
        if found := re.search(r"http://\S+/setup/\S+", line):
            return found.group()
    raise AssertionError(demo.stderr.read())


def _get(link):
    try:
        return httpx.get(link)
    except httpx.TransportError:
        return None


def _path_with(broker):
    """The PATH, without the folders that hold redis-server when fakeredis is wanted."""
    folders = os.environ["PATH"].split(os.pathsep)
    if broker == "redis-server":
        return os.pathsep.join(folders)
    return os.pathsep.join(f for f in folders if not (Path(f) / "redis-server").exists())
