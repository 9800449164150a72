# SPDX-License-Identifier: AGPL-3.0-only
"""The demo's broker speaks Redis, whether redis-server is there or not."""

import socket

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from queuedeck.demo.broker import is_free, start_broker
from queuedeck.demo.children import start
from queuedeck.errors import Unavailable

PROGRAMS = pytest.mark.parametrize("program", ["redis-server", None], ids=["redis", "fakeredis"])


@pytest.fixture
def broker(tmp_path, program):
    process, url = start_broker(tmp_path, program)
    client = Redis.from_url(url, decode_responses=True, single_connection_client=True)
    yield client
    client.close()
    process.stop()


@PROGRAMS
def test_broker_keeps_what_it_is_given(broker):
    broker.sadd("colours", "red", "blue")
    assert broker.smembers("colours") == {"red", "blue"}


@PROGRAMS
def test_broker_answers_an_error_and_goes_on(broker):
    number = broker.client_id()
    with pytest.raises(ResponseError):
        broker.evalsha("0" * 40, 0)
    assert broker.client_id() == number


@PROGRAMS
def test_broker_runs_scripts(broker):
    assert broker.eval("return redis.call('incrby', KEYS[1], 5)", 1, "n") == 5


@PROGRAMS
def test_broker_tells_what_workers_ask_when_they_start(broker):
    """RQ its own address, arq the version."""
    port = broker.connection_pool.connection_kwargs["port"]
    [connection] = [one for one in broker.client_list() if one["id"] == str(broker.client_id())]
    assert connection["laddr"] == f"127.0.0.1:{port}"
    assert broker.info("server")["redis_version"]


def test_password_of_the_broker_is_in_no_command_line(tmp_path):
    import psutil

    process, url = start_broker(tmp_path)
    password = url.split(":")[2].split("@")[0]
    lines = [" ".join(p.cmdline()) for p in psutil.process_iter() if p.pid == process.pid]
    process.stop()
    assert not [line for line in lines if password in line]


def test_taken_port_is_not_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])


def test_process_that_ends_is_said_with_its_log(tmp_path):
    child = start("producer", ["sh", "-c", "echo no more paper; exit 3"], tmp_path)
    child._process.wait()
    with pytest.raises(Unavailable, match=r"producer ended with code 3(.|\n)*no more paper"):
        child.check()


def test_process_that_does_not_stop_is_killed_with_its_children(tmp_path):
    script = "trap '' TERM; sleep 60 & echo $!; wait; wait"
    child = start("stubborn", ["sh", "-c", script], tmp_path)
    while not child.log.read_text():
        child.check()
    assert child.stop(timeout_s=0.3) is False
    assert not child.is_running()
