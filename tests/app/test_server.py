# SPDX-License-Identifier: AGPL-3.0-only
"""The process of `queuedeck serve`: its start, its end, and a kill in between."""

import asyncio
import os
import re
import signal
import stat

import httpx
import psutil
import pytest
from tests.support.links import Agent, a_hello, a_lane, link_to, tasks_part
from websockets.exceptions import ConnectionClosed

from queuedeck_agent import wire

SETUP = re.compile(r"Open (http://127\.0\.0\.1:\d+/setup/\S+) to create the first account")


def make_project(server):
    slug = server.cli("projects", "create", "Shop")["project"]["slug"]
    dsn = server.cli("keys", "create", slug)["dsn"]
    token = server.cli("tokens", "create", slug, "--role", "owner")["token"]
    return slug, dsn.partition("://")[2].partition("@")[0], token


def a_browser(server):
    """Signed in as an owner."""
    made = server.cli("createuser", "ann@example.com")
    browser = httpx.AsyncClient(base_url=server.url, timeout=10)
    form = {"email": "ann@example.com", "password": made["password"]}
    answer = httpx.post(server.url + "/login", data=form)
    assert answer.status_code == 303, answer.text
    browser.cookies.update(answer.cookies)
    return browser


def test_first_start_makes_private_files_and_prints_a_setup_link(server):
    server.start()
    code, _, printed = server.stop()
    assert code == 0
    assert SETUP.search(printed)
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.data / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((server.data / "control.db").stat().st_mode) == 0o600


def test_start_names_the_port_and_the_address_behind_a_proxy(server):
    server.spawn("--public-url", "https://deck.example")
    said = [server.process.stdout.readline() for _ in range(2)]
    server.stop()
    assert re.fullmatch(
        r"Queuedeck listens on http://127\.0\.0\.1:[1-9]\d*, reached as https://deck\.example\n",
        said[0],
    )
    assert said[1].startswith("Open https://deck.example/setup/")


def test_setup_link_works_while_it_is_the_newest(server):
    server.start()
    code, _, printed = server.stop()
    old = SETUP.search(printed).group(1)
    server.start()
    assert httpx.get(old.replace(old.partition("/setup")[0], server.url)).status_code == 404
    assert code == 0


def test_server_is_one_process(server):
    server.start()
    assert psutil.Process(server.process.pid).children(recursive=True) == []


def test_second_server_on_a_folder_is_refused_by_name(server, tmp_path):
    server.start()
    second = type(server)(server.data).spawn()
    out, err = second.process.communicate(timeout=20)
    assert second.process.returncode == 1
    assert f"is in use by another Queuedeck server at {server.url}" in err
    assert str(server.process.pid) in err
    assert "Traceback" not in out + err


def test_port_in_use_is_refused_with_what_to_do(server, tmp_path):
    server.start()
    port = server.url.rpartition(":")[2]
    second = type(server)(tmp_path / "other").spawn("--port", port)
    _, err = second.process.communicate(timeout=20)
    assert second.process.returncode == 1
    assert f"Cannot listen on 127.0.0.1 port {port}" in err
    assert "QUEUEDECK_PORT" in err


def test_folder_that_cannot_be_made_is_refused(tmp_path, server):
    (tmp_path / "file").write_text("")
    refused = type(server)(tmp_path / "file" / "data").spawn()
    _, err = refused.process.communicate(timeout=20)
    assert refused.process.returncode == 1
    assert "cannot be made" in err
    assert "Traceback" not in err


def test_damaged_key_file_is_refused(server):
    server.start()
    server.stop()
    (server.data / "secret.key").write_text("not hex\n")
    server.spawn()
    _, err = server.process.communicate(timeout=20)
    assert server.process.returncode == 1
    assert "Restore it from a backup" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_cleanly(server, number):
    server.start()
    server.process.send_signal(number)
    server.process.communicate(timeout=5)
    assert server.process.returncode == 0
    assert not (server.data / "server.json").exists()
    assert not list(server.data.glob("*-wal"))


async def test_stop_with_open_stream_and_link_is_quick(server):
    """SIGTERM with SSE and WebSockets open: exit 0, all told, all that was sent is stored."""
    await asyncio.to_thread(server.start)
    slug, key, _ = await asyncio.to_thread(make_project, server)
    browser = await asyncio.to_thread(a_browser, server)
    lane = a_lane()
    async with browser, link_to(server.url, key, slug) as socket:
        agent = Agent(socket)
        await agent.greet(a_hello([lane]))
        async with browser.stream("GET", f"/live?project={slug}", timeout=None) as stream:
            assert stream.status_code == 200
            reader = asyncio.create_task(read_to_end(stream))
            await agent.ship(tasks_part(lane, 1, 50))
            code, seconds, printed = await asyncio.to_thread(server.stop)
            await asyncio.wait_for(reader, 5)
        assert (code, printed.count("Traceback")) == (0, 0), printed
        assert seconds < 2.5
        assert isinstance(await agent.next(wire.Goodbye), wire.Goodbye)
        with pytest.raises(ConnectionClosed):
            await agent.next()


async def test_request_that_never_ends_does_not_hold_the_stop(server):
    await asyncio.to_thread(server.start)
    port = int(server.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.3)
    code, seconds, printed = await asyncio.to_thread(server.stop)
    writer.close()
    assert code == 0, printed
    assert seconds < 3
    assert not list(server.data.glob("*-wal"))


async def test_killed_server_has_what_it_acknowledged_exactly_once(server):
    """SIGKILL in mid-stream, again and again: what was acknowledged is there, nothing twice."""
    await asyncio.to_thread(server.start)
    slug, key, token = await asyncio.to_thread(make_project, server)
    lane, hello, sent = a_lane(), None, 0
    for _ in range(2):
        async with link_to(server.url, key, slug) as socket:
            agent = Agent(socket)
            hello = hello or a_hello([lane])
            sent = (await agent.greet(hello)).committed[lane]
            acked = await ship_until_killed(server, agent, lane, sent)
        await asyncio.to_thread(server.start)
        async with link_to(server.url, key, slug) as socket:
            committed = (await Agent(socket).greet(hello)).committed[lane]
        assert committed >= acked > sent
    totals, ids = await asyncio.to_thread(what_is_stored, server, slug, token)
    assert totals["events"] == committed
    assert sorted(ids) == sorted(f"task-{n}" for n in range(2, committed + 1))


async def ship_until_killed(server, agent, lane, sent):
    """The last number that was acknowledged before the kill."""
    acked = sent
    try:
        for round_number in range(1_000):
            await agent.ship(tasks_part(lane, sent + 1, 20))
            sent += 20
            if round_number == 8:
                os.kill(server.process.pid, signal.SIGKILL)
            if round_number > 2:
                acked = (await agent.next(wire.Ack)).committed.get(lane, acked)
    except ConnectionClosed:
        pass
    await asyncio.to_thread(server.process.communicate)
    return acked


def what_is_stored(server, slug, token):
    base = f"{server.url}/api/v1/projects/{slug}"
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}) as client:
        ids, after = [], ""
        while after is not None:
            page = client.get(f"{base}/tasks", params={"limit": 200, "after": after}).json()
            ids += [task["task_id"] for task in page["tasks"]]
            after = page["next"]
        return client.get(f"{base}/totals").json(), ids


async def read_to_end(stream):
    async for _ in stream.aiter_bytes():
        pass
