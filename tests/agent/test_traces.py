# SPDX-License-Identifier: AGPL-3.0-only
"""The trace that a task runs in, by the real OpenTelemetry of a host."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from tests.agent.conftest import MakeAgent
from tests.support import spool

import queuedeck_agent
from queuedeck_agent import agent as agents
from queuedeck_agent import wire
from queuedeck_agent.extras import TRACER, Here

HERE = Here("0123456789ab", "t-1", 1)
Emit = Callable[[wire.Event], None]
tracer = TracerProvider().get_tracer("tests")


@pytest.fixture
def emit(make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch) -> Emit:
    agent = make_agent()
    monkeypatch.setattr(agents, "_current", agent)
    agent.recorder.extras.find_by(lambda: HERE)
    return agent.recorder.emit


@pytest.fixture
def told(tmp_path: Path) -> Callable[[], list[Any]]:
    return lambda: [e for e in spool.events(tmp_path / "spool") if isinstance(e, wire.TaskTraced)]


def start(emit: Emit) -> None:
    emit(wire.TaskStarted(time.time_ns() // 1_000, *HERE, "app.x", "w"))


def end(emit: Emit) -> None:
    emit(wire.TaskSucceeded(time.time_ns() // 1_000, *HERE, 1))


def ids(span: Any) -> tuple[str, str]:
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_span_around_the_attempt_is_told_once(emit: Emit, told: Callable[[], list[Any]]) -> None:
    with tracer.start_as_current_span("task") as span:
        start(emit)
        queuedeck_agent.progress(1)
        end(emit)
    assert [(one.trace_id, one.span_id) for one in told()] == [ids(span)]
    assert told()[0].attempt == 1


def test_span_that_begins_after_our_hook_is_seen_at_the_end(
    emit: Emit, told: Callable[[], list[Any]]
) -> None:
    start(emit)
    with tracer.start_as_current_span("task") as span:
        end(emit)
    assert [one.trace_id for one in told()] == [ids(span)[0]]


def test_span_inside_of_the_task_is_seen_when_it_reports(
    emit: Emit, told: Callable[[], list[Any]]
) -> None:
    start(emit)
    with tracer.start_as_current_span("inside") as span:
        queuedeck_agent.tag("a")
    end(emit)
    assert [one.trace_id for one in told()] == [ids(span)[0]]


def test_without_a_span_nothing_is_told(emit: Emit, told: Callable[[], list[Any]]) -> None:
    start(emit)
    queuedeck_agent.progress(1)
    end(emit)
    assert told() == []


def test_without_opentelemetry_nothing_is_imported(
    emit: Emit, told: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, TRACER)
    with tracer.start_as_current_span("task"):
        start(emit)
        end(emit)
    assert told() == []
    assert TRACER not in sys.modules
