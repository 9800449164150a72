# SPDX-License-Identifier: AGPL-3.0-only
"""The doctor names the first thing that is wrong, and what to do about it."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.support import spool

from queuedeck_agent import doctor
from queuedeck_agent.doctor import Finding

WORKER = ["celery", "-A", "proj", "worker"]


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUEUEDECK_SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("QUEUEDECK_DSN", raising=False)
    return tmp_path / "spool"


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that answers every request with one status; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = b'{"error": {"code": "x", "message": "as the test says"}}'
            self.send_response(request.param)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def examine(*command: str) -> dict[str, Finding]:
    """Findings by step; a problem hides an ok of the same step."""
    found: dict[str, Finding] = {}
    for finding in doctor.examine(list(command)):
        if finding.step not in found or not finding.ok:
            found[finding.step] = finding
    return found


def test_missing_variable_is_the_finding() -> None:
    finding = examine()["setting"]
    assert not finding.ok
    assert "connect page" in finding.todo


def test_damaged_dsn_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", "https://example.com")
    assert "cannot be used" in examine()["setting"].text


def test_plain_http_off_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn().replace("127.0.0.1:9", "example.com"))
    assert "plain http" in examine()["setting"].text


def test_unknown_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = spool.dsn().replace("http://", "https://").replace("127.0.0.1:9", "no-such.invalid")
    monkeypatch.setenv("QUEUEDECK_DSN", dsn)
    assert "does not resolve" in examine()["name"].text


def test_closed_port_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn())
    found = examine()
    assert not found["tcp"].ok
    assert "server" not in found


def test_wrong_tls_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(doctor, "TIMEOUT_S", 0.3)
        monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn(port).replace("http://", "https://"))
        assert not examine()["tls"].ok


@pytest.mark.parametrize("answering", [404], indirect=True)
def test_https_to_a_plain_server_is_explained(
    answering: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn(answering).replace("http://", "https://"))
    finding = examine()["tls"]
    assert "speaks plain http" in finding.text
    assert "Write http:// in QUEUEDECK_DSN" in finding.todo


def test_advice_on_a_bad_dsn_is_on_its_own_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn()[:-5])
    doctor.main([], as_json=False)
    problem, advice, *_ = capsys.readouterr().out.splitlines()
    assert problem.endswith("root= is missing or damaged, as if the DSN was not copied whole.")
    assert advice.strip().startswith("-> Make a new one on the connect page")


@pytest.mark.parametrize(
    ("answering", "words", "todo"),
    [
        (401, "does not accept the agent key", "Make a new DSN"),
        (403, "does not let this key report", "Use the DSN of that project"),
        (426, "does not speak protocol", "Upgrade the older"),
        (503, "is busy or starting", "Wait a moment"),
        (200, "Queuedeck server", "Check the address"),
        (404, "HTTP 404", "Check the address"),
    ],
    indirect=["answering"],
)
def test_answer_of_the_server_is_explained(
    answering: int, words: str, todo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn(answering))
    finding = examine()["server"]
    assert not finding.ok
    assert words in finding.text
    assert todo in finding.todo


def test_unusable_spool_is_found(spool_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool_folder.write_text("a file is in the way")
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn())
    assert "QUEUEDECK_SPOOL" in examine()["spool"].todo


@pytest.mark.parametrize("engine", ["rq", "dramatiq", "huey", "arq", "taskiq"])
def test_engine_is_found_in_the_version_of_the_tests(engine: str) -> None:
    finding = examine()[engine]
    assert finding.ok
    assert "tested with" not in finding.text


def test_celery_is_found_and_in_range() -> None:
    finding = examine()["celery"]
    assert finding.ok
    assert "5." in finding.text


@pytest.mark.parametrize(
    ("command", "ok"),
    [("celery -A p worker", True), ("celery -A p inspect ping", False), ("pip list", False)],
)
def test_command_is_judged(command: str, ok: bool) -> None:
    assert examine(*command.split())["command"].ok is ok


def test_exit_code_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUEUEDECK_DSN", spool.dsn())
    assert doctor.main(WORKER, as_json=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert all(bool(step["todo"]) is not step["ok"] for step in report["steps"])
