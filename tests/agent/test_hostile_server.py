# SPDX-License-Identifier: AGPL-3.0-only
"""A stolen server against real workers: whatever it sends, only what the host allows takes place,
and that at most once. Tasks' own records and the broker say what took place."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.far_edge import PROJECT, SEAL, wait_until
from tests.support.hostile_crew import Crew
from tests.support.hostile_server import StolenServer, Victim

from queuedeck_agent import wire
from queuedeck_agent.seal import Seals

pytestmark = pytest.mark.engine

WORDS = sorted(set(wire.VERBS.values()))
ALL = {"QUEUEDECK_ALLOW": ",".join(WORDS)}
POLICIES: dict[str, dict[str, str]] = {
    "nothing": {"QUEUEDECK_ALLOW": ""},
    **{word: {"QUEUEDECK_ALLOW": word} for word in WORDS},
    "schedule": {"QUEUEDECK_ALLOW": "schedule"},
    "default": {},
    "all": ALL,
    "read-only": {**ALL, "QUEUEDECK_READ_ONLY": "1"},
    "other tasks": {**ALL, "QUEUEDECK_ALLOW_TASKS": "shop.*,*.tasks.no,tests.*.tasks.dig?st"},
    "no rate": {**ALL, "QUEUEDECK_COMMAND_RATE": "0"},
    "open": ALL,
}
RUNNING = {"retry", "submit"}
"""Words that let something run."""
TAKING = {"cancel", "terminate", "priority", "move", "purge", "retry", "submit"}
"""Words that let something change in the broker."""
STEPS = {
    "before begin": (0, ""),
    "after begin": (0, "unknown"),
    "before result": (1, "unknown"),
    "after result": (1, "done"),
    "before end": (1, "done"),
    "after end": (1, "done"),
}
"""Where the process is killed: how often the task runs again, and what its command is said to be.
Before the journal nobody knows of the command but the server: its lease ends."""


FLOOD = 10_000
RATE = 40
MakeVictim = Callable[..., Victim]


@pytest.fixture(scope="module")
def server() -> Iterator[StolenServer]:
    server = StolenServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    crew = Crew()
    yield crew
    crew.close()


@pytest.fixture(scope="module")
def victims(
    crew: Crew, server: StolenServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Victim]]:
    """A worker for each policy."""
    base = tmp_path_factory.mktemp("victims")
    made = {
        name: Victim(crew, server, base / name.replace(" ", "-"), **policy).start()
        for name, policy in POLICIES.items()
    }
    yield {name: victim.ready() for name, victim in made.items()}
    for victim in made.values():
        victim.close()


@pytest.fixture
def victim(victims: dict[str, Victim]) -> Victim:
    return victims["open"]


@pytest.fixture
def fresh(crew: Crew, server: StolenServer, tmp_path: Path) -> Iterator[MakeVictim]:
    made: list[Victim] = []

    def make(**policy: str) -> Victim:
        made.append(Victim(crew, server, tmp_path / "one", **policy))
        return made[-1]

    yield make
    for victim in made:
        victim.close()


def a_key() -> str:
    return f"k{secrets.token_hex(5)}"


def words_of(name: str) -> set[str]:
    """What that policy allows at all."""
    if name in ("nothing", "no rate", "schedule"):
        return set()
    if name == "read-only":
        return {"observe"}
    if name == "default":
        return {"observe", "retry", "cancel", "pause"}
    return set(WORDS) if name in ("all", "open", "other tasks") else {name}


def every_order(victim: Victim, original: wire.TaskStarted, key: str) -> list[wire.CommandBody]:
    """Each verb twice: about a task that has ended, and about one that waits."""
    waiting = [victim.send("note", key, queue=victim.parked) for _ in range(3)]
    call = wire.CommandDetails(args=b'{"args": ["%s"], "kwargs": {}}' % key.encode())
    more = msgspec.structs.replace(
        call, queue="elsewhere", priority=9, ids=(waiting[1].id,), for_s=1
    )
    orders: list[wire.CommandBody] = []
    for verb in wire.VERBS:
        orders.append(victim.about(original, verb, details=call))
        about = {"task_id": waiting[0].id, "task_name": original.name, "queue": victim.parked}
        orders.append(victim.body(verb, details=more, **about))
    return orders


@pytest.mark.parametrize("name", sorted(POLICIES.keys() - {"open"}))
def test_every_verb_does_only_what_the_policy_allows(
    name: str, victims: dict[str, Victim], server: StolenServer
) -> None:
    victim, key, allowed = victims[name], a_key(), words_of(name)
    orders = every_order(victim, victim.original(key), key)
    if "worker" in allowed:
        orders = [order for order in orders if order.verb != "restart"]
    before = victim.broker()
    for order in orders:
        server.order(victim.link, order)
    answers = [(order, server.told(order.command_id, 60)) for order in orders]
    forbidden = [
        (order.verb, answer)
        for order, answer in answers
        if wire.VERBS[order.verb] not in allowed
        or (name == "other tasks" and wire.VERBS[order.verb] not in ("observe", "pause", "worker"))
    ]
    code = "rate" if name == "no rate" else "refused"
    assert [getattr(one, "code", one) for _, one in forbidden] == [code] * len(forbidden)
    if name == "other tasks" or not allowed & TAKING:
        assert victim.broker() == before
    if name == "other tasks" or not allowed & RUNNING:
        time.sleep(0.2)
        assert victim.ran(key) == 1
    assert victim.redis.get("rq:suspended") is None


def test_purge_in_the_name_of_an_allowed_task_takes_no_other(
    victims: dict[str, Victim], server: StolenServer
) -> None:
    victim = victims["other tasks"]
    jobs = [victim.send("note", "kept", queue=victim.parked) for _ in range(2)]
    before = victim.broker()
    for verb, name in (("purge", "shop.send"), ("requeue", ""), ("purge", "")):
        order = victim.body(verb, queue=victim.parked, task_name=name, task_id=jobs[0].id)
        server.order(victim.link, order)
        answer = server.told(order.command_id)
        assert isinstance(answer, wire.CommandFailed)
        assert answer.code == "refused"
    assert victim.broker() == before


def test_replays_act_once(fresh: MakeVictim, victim: Victim, server: StolenServer) -> None:
    """On the same connection, on the next one, and to another agent that would be allowed to."""
    first, key = fresh(**ALL).start().ready(), a_key()
    task = first.original(key)
    body = first.about(task)
    command = server.order(first.link, body)
    assert isinstance(server.told(body.command_id), wire.CommandDone)
    wait_until(lambda: first.ran(key) == 2)
    old = first.link
    old.connection.send(wire.encode(command))
    victim.link.connection.send(wire.encode(command))
    old.connection.close()
    wait_until(lambda: first.link is not old)
    first.link.connection.send(wire.encode(command))
    renewed = first.about(task, command_id=body.command_id)
    server.order(first.link, renewed)
    last = first.about(task)
    server.order(first.link, last)
    assert isinstance(server.told(last.command_id), wire.CommandDone)
    wait_until(lambda: first.ran(key) == 3)
    time.sleep(0.2)
    assert first.ran(key) == 3


@pytest.mark.parametrize("what", ["task_id", "task_name", "source", "sealed", "project"])
def test_sealed_call_runs_as_its_own_task_only(
    what: str, victim: Victim, server: StolenServer
) -> None:
    mine, other = a_key(), a_key()
    task, stranger = victim.original(mine), victim.original(other)
    foreign = Seals((SEAL,)).seal("other", task.source, task.name, task.task_id, b"a call")
    elsewhere = Seals((SEAL,)).seal(PROJECT, "0" * 12, task.name, task.task_id, b"a call")
    swapped: dict[str, dict[str, Any]] = {
        "task_id": {"task_id": stranger.task_id},
        "task_name": {"task_name": "tests.conformance.tasks.add"},
        "source": {"sealed": elsewhere},
        "sealed": {"sealed": stranger.sealed},
        "project": {"sealed": foreign},
    }
    for verb in ("retry", "edit"):
        body = victim.about(task, verb, **swapped[what])
        server.order(victim.link, body)
        answer = server.told(body.command_id)
        assert isinstance(answer, wire.CommandFailed)
        assert answer.code == "invalid"
    time.sleep(0.2)
    assert (victim.ran(mine), victim.ran(other)) == (1, 1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"nonce": bytes(16)}, "invalid"),
        ({"nonce": b""}, "invalid"),
        ({"project": "other"}, "invalid"),
        ({"ttl_s": 0}, "expired"),
        ({"ttl_s": -5}, "expired"),
        ({"task_name": ""}, "invalid"),
        ({"source": "0" * 12}, "unsupported"),
        ({"verb": "exec"}, "unsupported"),
        ({"verb": ""}, "unsupported"),
        ({"verb": "x" * 100_000}, "unsupported"),
        ({"task_name": "x" * 100_000}, "invalid"),
        ({"sealed": b"x"}, "invalid"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_signed_command_that_is_wrong_is_refused(
    change: dict[str, Any], code: str, victim: Victim, server: StolenServer
) -> None:
    key = a_key()
    body = victim.about(victim.original(key), **change)
    server.order(victim.link, body)
    answer = server.told(body.command_id)
    assert isinstance(answer, wire.CommandFailed)
    assert answer.code == code
    assert victim.ran(key) == 1


@pytest.mark.parametrize(
    "command_id", ["", "a b", "1" * 31 + "\n", "x\nbegin " + "2" * 32, "é" * 32]
)
def test_id_that_is_none_is_ignored(command_id: str, victim: Victim, server: StolenServer) -> None:
    key = a_key()
    task = victim.original(key)
    server.order(victim.link, victim.about(task, command_id=command_id))
    proper = victim.about(task, "reconcile")
    server.order(victim.link, proper)
    server.told(proper.command_id)
    assert victim.ran(key) == 1
    assert not server.answers.get(command_id)


@pytest.mark.parametrize("what", ["body", "ttl", "signature", "no signature", "key", "context"])
def test_altered_command_is_refused(what: str, victim: Victim, server: StolenServer) -> None:
    key = a_key()
    body = victim.about(victim.original(key), ttl_s=60)
    raw = wire.encode(body)
    signature = server.command.sign(wire.COMMAND_CONTEXT + raw)
    longer = wire.encode(msgspec.structs.replace(body, ttl_s=61))
    command = {
        "body": wire.Command(raw.replace(b"tasks.note", b"tasks.nope"), signature),
        "ttl": wire.Command(longer, signature),
        "signature": wire.Command(raw, signature[:-1] + bytes([signature[-1] ^ 1])),
        "no signature": wire.Command(raw, b""),
        "key": wire.Command(raw, Ed25519PrivateKey.generate().sign(wire.COMMAND_CONTEXT + raw)),
        "context": wire.Command(raw, server.command.sign(raw)),
    }[what]
    victim.link.connection.send(wire.encode(command))
    answer = server.told(body.command_id)
    assert isinstance(answer, wire.CommandFailed)
    assert answer.code == "invalid"
    assert victim.ran(key) == 1


def test_certificate_that_the_root_did_not_sign_is_refused(
    fresh: MakeVictim, server: StolenServer
) -> None:
    victim, key = fresh(**ALL).start().ready(), a_key()
    task = victim.original(key)
    forged = Ed25519PrivateKey.generate()
    welcome = msgspec.structs.replace(
        server.welcome(victim.link.hello), command_key=forged.public_key().public_bytes_raw()
    )
    victim.link.connection.send(wire.encode(welcome))
    body = victim.about(task)
    raw = wire.encode(body)
    command = wire.Command(raw, forged.sign(wire.COMMAND_CONTEXT + raw))
    victim.link.connection.send(wire.encode(command))
    answer = server.told(body.command_id)
    assert isinstance(answer, wire.CommandFailed)
    assert answer.code == "invalid"
    assert victim.ran(key) == 1


def test_flood_of_valid_retries_runs_at_the_rate(fresh: MakeVictim, server: StolenServer) -> None:
    victim = fresh(**ALL, QUEUEDECK_COMMAND_RATE=str(RATE)).start().ready()
    key, meanwhile = a_key(), a_key()
    task = victim.original(key)
    host = psutil.Process(victim.pid)
    orders = [victim.about(task) for _ in range(FLOOD)]
    before, begun = host.memory_info().rss, time.monotonic()
    for number, order in enumerate(orders):
        server.order(victim.link, order)
        if number == FLOOD // 2:
            victim.send("note", meanwhile)
    wait_until(lambda: all(order.command_id in server.answers for order in orders), 120)
    answers = [server.told(order.command_id) for order in orders]
    assert time.monotonic() - begun < 60, "within the minute that the rate is for"
    done = [one for one in answers if isinstance(one, wire.CommandDone)]
    codes = {one.code for one in answers if isinstance(one, wire.CommandFailed)}
    assert (len(done), codes) == (RATE, {"rate"})
    wait_until(lambda: victim.ran(key) == 1 + RATE, 30)
    assert victim.ran(meanwhile) == 1
    assert host.memory_info().rss - before < 16 << 20
    log = (victim.folder / "log").read_text()
    assert log.count("refused") < 100


@pytest.mark.parametrize("step", STEPS)
def test_killed_between_two_steps_it_never_acts_twice(
    step: str, fresh: MakeVictim, server: StolenServer
) -> None:
    runs, told = STEPS[step]
    victim, key = fresh(**ALL).start(die=step).ready(), a_key()
    task = victim.original(key)
    victim.send("sleep", "busy", 60)  # what this process takes from the queue dies with it
    wait_until(lambda: victim.ran("busy"))
    body = victim.about(task)
    command = server.order(victim.link, body)
    wait_until(victim.is_gone)
    victim.start().ready()
    victim.link.connection.send(wire.encode(command))
    probe = victim.about(task, "reconcile")
    server.order(victim.link, probe)
    server.told(probe.command_id)
    wait_until(lambda: victim.ran(key) == 1 + runs)
    victim.send("note", "last")
    wait_until(lambda: victim.ran("last"))
    assert victim.ran(key) == 1 + runs
    answers = server.answers[body.command_id]
    assert {getattr(answer, "code", "done") for answer in answers} == ({told} if told else set())


def test_journal_that_cannot_be_written_means_that_nothing_is_done(
    fresh: MakeVictim, server: StolenServer
) -> None:
    victim, key = fresh(**ALL).start(die="full begin").ready(), a_key()
    body = victim.about(victim.original(key))
    server.order(victim.link, body)
    answer = server.told(body.command_id)
    assert isinstance(answer, wire.CommandFailed)
    assert answer.code == "error"
    assert "journal" in answer.message
    victim.kill()
    victim.start().ready()
    victim.send("note", "last")
    wait_until(lambda: victim.ran("last"))
    assert victim.ran(key) == 1
    assert len(server.answers[body.command_id]) == 1, "the next process has nothing to tell"
