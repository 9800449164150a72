# SPDX-License-Identifier: AGPL-3.0-only
"""Progress, tags and log lines in one process: what is sent, what is held, what is dropped."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import MakeAgent
from tests.support import spool

import queuedeck_agent
from queuedeck_agent import agent as agents
from queuedeck_agent import extras as said
from queuedeck_agent import loss, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.extras import MAX_TAGS, PROGRESS_EVERY_S, Here
from queuedeck_agent.logs import MAX_BYTES, MAX_LINES, Logs

HERE = Here("0123456789ab", "t-1", 1)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "extras.md"
Events = Callable[..., list[Any]]


@pytest.fixture
def running(make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Here]]:
    """What runs in this process: a list to change."""
    agent = make_agent()
    monkeypatch.setattr(agents, "_current", agent)
    here = [HERE]
    agent.recorder.extras.find_by(lambda: here[0] if here else None)
    yield here


@pytest.fixture
def events(tmp_path: Path) -> Events:
    def read(kind: type[wire.Event] = wire.TaskEvent) -> list[Any]:
        return [one for one in spool.events(tmp_path / "spool") if isinstance(one, kind)]

    return read


def current() -> Agent:
    agent = agents.current()
    assert agent is not None
    return agent


def end(here: Here = HERE) -> None:
    current().recorder.emit(wire.TaskSucceeded(time.time_ns() // 1_000, *here, 1))


def test_without_an_agent_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_current", None)
    queuedeck_agent.progress(1, 2, "x")
    queuedeck_agent.tag("a")


def test_outside_of_a_task_nothing_happens(running: list[Here], events: Events) -> None:
    running.clear()
    queuedeck_agent.progress(1)
    queuedeck_agent.tag("a")
    assert events() == []
    assert current().recorder.extras.open == {}


def test_first_and_last_of_a_flood_are_sent(running: list[Here], events: Events) -> None:
    for step in range(1, 5_001):
        queuedeck_agent.progress(step, 5_000, f"step {step}")
    began = events(wire.TaskProgressed)
    end()
    told = events(wire.TaskProgressed)
    assert (began[0].current, told[-1].current, told[-1].message) == (1, 5_000, "step 5000")
    assert len(told) <= 3 + (told[-1].at_us - told[0].at_us) // int(PROGRESS_EVERY_S * 1_000_000)
    assert type(events()[-1]) is wire.TaskSucceeded
    assert current().recorder.extras.open == {}


def test_what_is_held_is_sent_though_the_task_calls_no_more(
    running: list[Here], events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(said, "PROGRESS_EVERY_S", 0.05)
    queuedeck_agent.progress(1, 9)
    queuedeck_agent.progress(2, 9)
    _eventually(lambda: [one.current for one in events(wire.TaskProgressed)] == [1, 2])
    _eventually(lambda: not any(one.name == "queuedeck-extras" for one in threading.enumerate()))


def test_progress_is_redacted_and_cut(running: list[Here], events: Events) -> None:
    queuedeck_agent.progress(Decimal("1.5"), None, "password=hunter2-and-more " + "x" * 300)
    (told,) = events(wire.TaskProgressed)
    assert (told.current, told.total) == (1.5, -1)
    assert "hunter2" not in told.message
    assert "[redacted: secret]" in told.message
    assert len(told.message) < 260


@pytest.mark.parametrize("given", ["many", None, -1, float("nan"), float("inf"), 10**400, object()])
def test_what_is_no_amount_is_ignored_with_one_warning(
    running: list[Here], events: Events, caplog: pytest.LogCaptureFixture, given: Any
) -> None:
    for _ in range(3):
        queuedeck_agent.progress(given, 10)
    assert events() == []
    assert [line.levelname for line in caplog.records] == ["WARNING"]


def test_tags_are_told_once_and_bounded(
    running: list[Here], events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(str):
        __slots__ = ()

    queuedeck_agent.tag("a", "b", "a")
    queuedeck_agent.tag("b", Own("c"))
    bad: list[Any] = [
        "",
        " x",
        "x" * 65,
        "a\nb",
        42,
        ["a"],
        "eyJhbGciOiJIUzI1NiJ9.e30.abcdefghijkl",
    ]
    queuedeck_agent.tag(*bad, "password=hunter2-and-more")
    queuedeck_agent.tag(*(f"t{number}" for number in range(30)))
    told = [one.tags for one in events(wire.TaskTagged)]
    assert told[:2] == [("a", "b"), ("c",)]
    assert sum(map(len, told)) == MAX_TAGS
    assert not set(bad[:4]) & {tag for some in told for tag in some}
    assert len(caplog.records) == 1


def test_attempts_are_told_apart(running: list[Here], events: Events) -> None:
    queuedeck_agent.tag("a")
    running[0] = HERE._replace(attempt=2)
    queuedeck_agent.tag("a")
    assert [(one.attempt, one.tags) for one in events(wire.TaskTagged)] == [
        (1, ("a",)),
        (2, ("a",)),
    ]


def test_a_flood_of_extras_leaves_room_for_states(make_agent: MakeAgent, events: Events) -> None:
    agent = make_agent(spool_max_bytes=1 << 20)
    recorder = agent.recorder
    text = "x" * 2_000
    for number in range(2_000):
        at = time.time_ns() // 1_000
        line = wire.LogLine(at, 30, "app", text)
        recorder.emit_extra(wire.TaskLogged(at, *HERE, number + 1, (line,)))
        recorder._desk.lane._extras_at = 0.0  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    dropped = recorder.dropped
    assert dropped > 0
    for number in range(2_000):
        recorder.emit(wire.TaskReceived(number, HERE.source, f"t-{number}", 1, "app.x", "w"))
    assert recorder.dropped == dropped
    assert len(events(wire.TaskReceived)) == 2_000
    agent.stop(flush_s=0)
    (told,) = events(wire.Loss)
    assert told.kinds == {"task-logged": dropped}
    assert told.count + len(events(wire.TaskLogged)) == 2_000


def test_thinning_takes_extras_before_states() -> None:
    at = 1_800_000_000_000_000
    line = wire.LogLine(at, 30, "app", "x")
    story = [
        wire.TaskStarted(at, *HERE, "app.x", "w"),
        wire.TaskLogged(at, *HERE, 1, (line,)),
        wire.TaskProgressed(at, *HERE, 1.0),
        wire.TaskFailed(at, *HERE, "ValueError"),
    ]
    kept = loss.thin([(n, wire.encode(one)) for n, one in enumerate(story, 1)])
    found = [wire.decode_event(payload) for _, payload in kept]
    assert [type(one) for one in found] == [wire.TaskStarted, wire.Loss, wire.TaskFailed]
    assert found[1].kinds == {"task-logged": 1, "task-progressed": 1}  # type: ignore[union-attr]


# --- Log lines ---------------------------------------------------------------------------------


@pytest.fixture
def logger(running: list[Here]) -> Iterator[logging.Logger]:
    """Of an application that has set up nothing but its own level."""
    logs = Logs(current().recorder.extras, logging.INFO)
    logs.follow()
    own = logging.getLogger("app.extras")
    own.setLevel(logging.DEBUG)
    yield own
    logs.leave()


def lines_of(events: Events) -> list[wire.LogLine]:
    return [line for one in events(wire.TaskLogged) for line in one.lines]


def test_lines_of_the_running_task_only(
    running: list[Here], logger: logging.Logger, events: Events
) -> None:
    logger.debug("too low")
    logger.info("one %s", "two")
    running.clear()
    logger.error("outside")
    (line,) = lines_of(events)
    assert (line.level, line.logger, line.text) == (20, "app.extras", "one two")


def test_loggers_that_do_not_propagate_are_heard(logger: logging.Logger, events: Events) -> None:
    logger.propagate = False
    try:
        logger.warning("heard")
    finally:
        logger.propagate = True
    assert [line.text for line in lines_of(events)] == ["heard"]


def test_what_engines_log_themselves_is_left_out(logger: logging.Logger, events: Events) -> None:
    for name in ("celery.app.trace", "rq.worker", "huey", "dramatiq.worker", "queuedeck_agent"):
        logging.getLogger(name).warning("noise")
    logging.getLogger("celery.redirected").warning("printed")
    assert [line.text for line in lines_of(events)] == ["printed"]


def test_lines_are_bounded_and_the_rest_is_counted(logger: logging.Logger, events: Events) -> None:
    for number in range(MAX_LINES):
        logger.info("line %s", number)
    for _ in range(MAX_LINES):
        logger.error("bad")
    end()
    told = events(wire.TaskLogged)
    lines = lines_of(events)
    assert len(lines) == MAX_LINES
    assert sum(line.level == 20 for line in lines) == MAX_LINES * 3 // 4
    assert [one.left_out for one in told if one.left_out] == [MAX_LINES]
    assert [one.first for one in told][:-1] == list(range(1, MAX_LINES + 1))


def test_bytes_of_an_attempt_and_of_a_line_are_bounded(
    logger: logging.Logger, events: Events
) -> None:
    for _ in range(100):
        logger.error("head " + "x" * 50_000 + " tail")
    lines = lines_of(events)
    assert sum(len(line.text) for line in lines) < MAX_BYTES + 5_000
    assert lines[0].text.startswith("head")
    assert lines[0].text.endswith("tail")
    assert "characters left out" in lines[0].text


def test_a_value_that_logs_while_it_is_written_is_no_loop(
    logger: logging.Logger, events: Events
) -> None:
    class Chatty:
        def __str__(self) -> str:
            logger.error("inside")
            return "shown"

    logger.error("%s", Chatty())
    assert lines_of(events)[0].text == "shown"


def test_a_host_s_logging_is_as_it_was(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's last resort still speaks where nobody has set up anything."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logger.error("to the last resort")
    assert "to the last resort" in capsys.readouterr().err
    logging.basicConfig()
    assert len(logging.getLogger().handlers) == 1


# --- The page of the documentation -------------------------------------------------------------


@pytest.fixture
def samples() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL):
        exec(code, names)
    return names


def test_samples_of_the_documentation(
    running: list[Here], events: Events, samples: dict[str, Any]
) -> None:
    samples["import_orders"](["a", "b"])
    samples["charge"](42, "trial")
    samples["progress"](3)
    samples["tag"]("again")
    end()
    assert [one.current for one in events(wire.TaskProgressed)] == [1, 3]
    assert [one.tags for one in events(wire.TaskTagged)] == [("customer-42", "trial"), ("again",)]


def _eventually(check: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not check():
        assert time.monotonic() < until
        time.sleep(0.02)
