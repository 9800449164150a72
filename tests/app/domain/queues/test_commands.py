# SPDX-License-Identifier: AGPL-3.0-only
"""What is asked of a queue goes to one able agent, and what it found is kept."""

import msgspec
import pytest
from tests.support.control import SHELL, audited
from tests.support.queues import MAIL, a_worker, an_engine, answer, commands, enter, take

from queuedeck.domain.queues.commands import (
    commands_of,
    newest_of,
    request_dead,
    request_peek,
    request_purge,
    request_requeue,
)
from queuedeck.domain.queues.found import read_found
from queuedeck.errors import Conflict, Invalid, NotSupported

ASKS = {
    "purge": (request_purge, {"name": "mail"}),
    "peek": (request_peek, {"amount": 5}),
    "dead": (request_dead, {"amount": 5}),
    "requeue": (request_requeue, {"ids": ("d1", "d1", "d2")}),
}
each = pytest.mark.parametrize("verb", ASKS)


async def ask(desk, project, verb, **changes):
    use_case, fields = ASKS[verb]
    return await use_case(desk, project, MAIL, SHELL, **(fields | changes))


@each
async def test_one_agent_gets_it_with_all_it_needs(desk, project, verb):
    unable = enter(desk, project.id, a_worker(an_engine(without={verb: "Not here."})))
    able = enter(desk, project.id)
    asked = await ask(desk, project, verb)
    assert await take(desk, project.id, unable) == []
    (command,) = await take(desk, project.id, able)
    assert (command.id, command.verb, command.queue, command.source) == (
        asked.id, verb, "mail", MAIL.source,
    )  # fmt: skip
    assert command.details.ids == (("d1", "d2") if verb == "requeue" else ())
    assert command.details.amount == (5 if verb in ("peek", "dead") else 0)
    assert (f"queue.{verb}", "requested") in await audited(desk.control, project.slug)


@each
async def test_same_asked_twice_is_one_command(desk, project, verb):
    enter(desk, project.id)
    first, second = await ask(desk, project, verb), await ask(desk, project, verb)
    assert first.id == second.id
    assert len(await commands(desk.control, project.id)) == 1


@each
async def test_what_nobody_would_do_is_refused_and_written_down(desk, project, verb):
    enter(desk, project.id, a_worker(an_engine(without={verb: "Not here."})))
    with pytest.raises(NotSupported, match="Not here"):
        await ask(desk, project, verb)
    assert await commands(desk.control, project.id) == []
    assert (await audited(desk.control, project.slug))[-1] == (f"queue.{verb}", "refused")


async def test_other_dead_letters_are_told_to_wait(desk, project):
    enter(desk, project.id)
    await ask(desk, project, "requeue")
    with pytest.raises(Conflict, match="on their way"):
        await ask(desk, project, "requeue", ids=("d3",))


@pytest.mark.parametrize(
    ("verb", "changes"),
    [
        ("purge", {"name": "Mail"}),
        ("peek", {"amount": 0}),
        ("dead", {"amount": 101}),
        ("requeue", {"ids": ()}),
        ("requeue", {"ids": ("",)}),
        ("requeue", {"ids": tuple(f"d{n}" for n in range(101))}),
    ],
    ids=["name", "none", "too many", "no ids", "empty id", "many ids"],
)
async def test_nonsense_asks_nobody(desk, project, verb, changes):
    enter(desk, project.id)
    with pytest.raises(Invalid):
        await ask(desk, project, verb, **changes)
    assert await commands(desk.control, project.id) == []


async def test_what_was_found_stays_with_its_queue_and_project(desk, project, other_project, clock):
    able = enter(desk, project.id)
    found = msgspec.json.encode([{"id": "t1", "name": "shop.pay"}])
    await ask(desk, project, "peek")
    await answer(desk, project.id, able, found=found, affected=7)
    clock.advance(1)
    await ask(desk, project, "purge")
    peek = await newest_of(desk.control, project.id, MAIL.target, "peek")
    assert [one.id for one in read_found(peek.found)] == ["t1"]
    assert [one.verb for one in await commands_of(desk.control, project.id, MAIL.target)] == [
        "purge", "peek",
    ]  # fmt: skip
    assert await commands_of(desk.control, other_project.id, MAIL.target) == []
    assert await newest_of(desk.control, other_project.id, MAIL.target, "peek") is None


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'{"id": 1}', b"\xff", b"[" * 5_000])
def test_nonsense_of_an_agent_is_nothing(raw):
    assert read_found(raw) == []
