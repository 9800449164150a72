# SPDX-License-Identifier: AGPL-3.0-only
"""Whatever is wrong with the connection: the worker goes on unharmed and its log says what."""

import contextlib
import os
import re
import socketserver
import threading

import pytest
from tests.support.e2e_server import eventually, make_project
from tests.support.e2e_worker import RESULT_S, agent_lines, app_for, start_worker

from queuedeck.demo.broker import free_port
from queuedeck.domain.projects.dsn import format_dsn, new_seal_key
from queuedeck.ids import AGENT_KEY_PREFIX, new_key


def a_dsn(url):
    """A well-formed DSN that no server has made."""
    return format_dsn(url, new_key(AGENT_KEY_PREFIX), "shop", new_seal_key(), b"r" * 32)


def test_unknown_key_is_said(own_broker, own_server, tmp_path):
    dsn = a_dsn(own_server.url)
    log = _log_of_a_worker_at_work(tmp_path, own_broker, dsn)
    assert "key" in agent_lines(log)
    assert own_server.url in agent_lines(log)
    assert dsn.split("@")[0].rpartition("/")[2] not in log


def test_plain_http_off_loopback_is_refused(own_broker, tmp_path):
    dsn = a_dsn("http://queuedeck.example.com:7717").replace("&insecure=1", "")
    log = agent_lines(_log_of_a_worker_at_work(tmp_path, own_broker, dsn))
    assert "https" in log
    assert "insecure=1" in log


@pytest.mark.parametrize(
    "dsn", ["nonsense", "http://127.0.0.1:7717/shop", "http://[::1/x?seal=1", " "]
)
def test_malformed_dsn_is_said(own_broker, tmp_path, dsn):
    log = agent_lines(_log_of_a_worker_at_work(tmp_path, own_broker, dsn))
    assert "QUEUEDECK_DSN" in log or not dsn.strip()


def test_server_that_is_away_at_the_start_gets_everything_later(own_broker, own_server, tmp_path):
    project = make_project(own_server, "Away")
    own_server.kill()
    worker = start_worker(tmp_path, own_broker, project.dsn)
    sent = app_for(own_broker).add.delay(3, 4)
    assert sent.get(timeout=RESULT_S) == 7
    own_server.start()
    eventually(lambda: project.api.states().get(sent.id) == "succeeded", 30)
    worker.stop()


@pytest.mark.parametrize("answer", ["http", "websocket", "bytes", "closes"])
def test_server_that_answers_garbage_harms_nobody(own_broker, tmp_path, answer):
    with _garbage_server(answer) as port:
        url = f"http://127.0.0.1:{port}"
        log = _log_of_a_worker_at_work(tmp_path, own_broker, a_dsn(url))
    assert f"not connected: {url}" in agent_lines(log)


def test_revoked_key_is_said(own_broker, own_server, tmp_path):
    project = make_project(own_server, "Revoked")
    worker = start_worker(tmp_path, own_broker, project.dsn)
    own_server.cli("keys", "revoke", project.slug, str(project.key_id))
    tasks = app_for(own_broker)
    assert tasks.add.delay(3, 4).get(timeout=RESULT_S) == 7
    eventually(lambda: "revoked" in worker.log.read_text(), 30)
    worker.stop()


def _log_of_a_worker_at_work(folder, broker, dsn):
    """The log of a worker with this DSN after it has run tasks with the right results."""
    worker = start_worker(folder, broker, dsn)
    tasks = app_for(broker)
    assert [tasks.add.delay(n, 1).get(timeout=RESULT_S) for n in range(3)] == [1, 2, 3]
    failed = tasks.fail.delay("x")
    assert isinstance(failed.get(timeout=RESULT_S, propagate=False), ValueError)
    if dsn.strip():
        eventually(lambda: agent_lines(worker.log.read_text()), 20)
    worker.stop()
    return worker.log.read_text()


@contextlib.contextmanager
def _garbage_server(kind):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                _garbage(self, kind)

    with socketserver.ThreadingTCPServer(("127.0.0.1", free_port()), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


def _garbage(handler, kind):
    if kind == "closes":
        return
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        line = handler.rfile.readline()
        if not line:
            return
        request += line
    if kind == "bytes":
        handler.wfile.write(os.urandom(4096))
    elif kind == "http":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    else:
        from websockets.utils import accept_key

        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", request).group(1).decode()
        handler.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
            b"\x82\x0agarbage!!!" + b"\x82\x7e\xff\xff" + os.urandom(0xFFFF)
        )
        handler.rfile.read(1)
