# SPDX-License-Identifier: AGPL-3.0-only
"""The page of workers: memory, clocks, releases, and groups by host and by release."""

import re

import pytest
from tests.support import queues as support
from tests.support.history_events import SOURCE
from tests.support.pages import visitor

from queuedeck_agent import wire

MIB = 1 << 20


def enter(serving, project, name, host="pay-1", **hello):
    """A worker that is connected."""
    engine = support.an_engine(("emails",), worker=name, source=SOURCE)
    return support.enter(serving.services, project.id, support.a_worker(engine, host=host, **hello))


def beat(serving, connection, own=0, children=-1, of_children=0, ahead_us=0):
    now = serving.services.clock()
    told = wire.Heartbeat(
        now + ahead_us, rss_bytes=own, children=children, children_rss_bytes=of_children
    )
    serving.services.registry.heartbeat(connection, told)


async def look(serving, project, query=""):
    async with visitor(serving, project) as client:
        answer = await client.get(f"/p/{project.slug}/workers{query}")
        assert answer.status_code == 200, answer.text
        return answer.text


def order_of(page):
    """Titles of groups and names of workers, as they follow each other."""
    return re.findall(r'scope="rowgroup"[^>]*><b>([^<]+)|class="name" title="([^"]+)"', page)


def flat(page):
    return ["".join(pair) for pair in order_of(page)]


async def test_memory_is_of_the_process_and_its_children(serving, project):
    beat(serving, enter(serving, project, "w"), 80 * MIB, 4, 300 * MIB)
    page = await look(serving, project)
    assert "380.0 MiB" in page
    assert "300.0 MiB in 4 children" in page
    assert "Memory in the last hour" in page


async def test_memory_of_a_process_without_children(serving, project):
    beat(serving, enter(serving, project, "w"), 80 * MIB, 0, 0)
    page = await look(serving, project)
    assert "80.0 MiB" in page
    assert "in 0 children" not in page


async def test_memory_that_the_host_does_not_say(serving, project):
    beat(serving, enter(serving, project, "w"))
    page = await look(serving, project)
    assert "The host does not say" in page
    assert "0 B" not in page


async def test_clock_that_is_off_is_told(serving, project):
    beat(serving, enter(serving, project, "w"), ahead_us=8_000_000)
    beat(serving, enter(serving, project, "v"), ahead_us=-90_000_000)
    page = await look(serving, project)
    assert re.search(r"clock \d\.\d\d s ahead of ours", page)
    assert re.search(r"clock 1 m \d\d s behind ours", page)


async def test_clock_within_what_a_network_takes_is_not(serving, project):
    beat(serving, enter(serving, project, "w"), ahead_us=400_000)
    assert "clock" not in await look(serving, project)


async def test_releases_side_by_side_go_from_old_to_new(serving, project):
    for number in range(3):
        enter(serving, project, f"old-{number}", release="v1.8", started_us=100 + number)
    for number in range(5):
        enter(serving, project, f"new-{number}", release="v1.9", started_us=900 + number)
    assert "release v1.8 (3) → v1.9 (5)" in await look(serving, project)


async def test_one_release_is_no_news(serving, project):
    enter(serving, project, "a", release="v1.8")
    enter(serving, project, "b", release="v1.8")
    page = await look(serving, project)
    assert "→" not in page
    assert "release v1.8" in page


async def test_release_of_a_worker_that_left_is_no_roll_out(serving, project):
    left = enter(serving, project, "a", release="v1.8")
    enter(serving, project, "b", release="v1.9")
    serving.services.registry.disconnect(left)
    assert "→" not in await look(serving, project)


async def test_groups_by_host(serving, project):
    enter(serving, project, "b1", host="pay-2")
    enter(serving, project, "a1", host="pay-1")
    enter(serving, project, "b2", host="pay-2")
    page = await look(serving, project, "?by=host")
    assert flat(page) == ["pay-1", "a1", "pay-2", "b1", "b2"]
    assert "2 workers connected, 8 slots" in page


async def test_host_without_a_connected_worker_comes_last(serving, project):
    serving.services.registry.disconnect(enter(serving, project, "gone", host="a"))
    enter(serving, project, "here", host="b")
    assert flat(await look(serving, project, "?by=host")) == ["b", "here", "a", "gone"]


async def test_groups_by_release_go_from_old_to_new(serving, project):
    enter(serving, project, "new", release="a9", started_us=900)
    enter(serving, project, "old", release="b8", started_us=100)
    enter(serving, project, "none", started_us=500)
    page = await look(serving, project, "?by=release")
    assert flat(page) == ["b8", "old", "release not known", "none", "a9", "new"]


async def test_memory_of_a_group_counts_each_process_once(serving, project):
    engines = [support.an_engine(source=f"{n:012x}", worker=f"w{n}") for n in (1, 2)]
    connection = support.enter(serving.services, project.id, support.a_worker(*engines))
    beat(serving, connection, 80 * MIB)
    assert "2 workers connected, 8 slots, 80.0 MiB" in await look(serving, project, "?by=host")


async def test_one_list_has_no_titles_and_says_which_view_it_is(serving, project):
    enter(serving, project, "w")
    page = await look(serving, project)
    assert 'scope="rowgroup"' not in page
    assert re.search(r'href="/p/[^"]+/workers" aria-current="true">One list', page)


@pytest.mark.parametrize("by", ["host", "release"])
async def test_view_is_in_the_address(serving, project, by):
    enter(serving, project, "w")
    page = await look(serving, project, f"?by={by}")
    assert re.search(rf'workers\?by={by}" aria-current="true"', page)


async def test_unknown_view_is_refused(serving, project):
    async with visitor(serving, project) as client:
        answer = await client.get(f"/p/{project.slug}/workers?by=colour")
    assert 400 <= answer.status_code < 500
