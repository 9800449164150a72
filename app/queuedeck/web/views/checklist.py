# SPDX-License-Identifier: AGPL-3.0-only
"""The checklist of the connect page: what has happened so far, and what to do when nothing does."""

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.history.tasks import TaskRow
from queuedeck.web.format import Moment, duration, moment_clock, plural
from queuedeck.web.views.words import engine_tag

DIAGNOSE_AFTER_US = 60 * SECOND_US


class Step(msgspec.Struct, frozen=True):
    """A line of the checklist."""

    state: str
    title: str
    text: str
    at: Moment | None = None
    waiting: bool = False
    command: str = ""


def checklist(
    agents: list[AgentSeen],
    first: TaskRow | None,
    sealed: bool,
    asked_us: int | None,
    server_url: str,
    now_us: int,
) -> tuple[Step, ...]:
    """What has happened so far; each step turns by itself."""
    connected = [agent for agent in agents if agent.connected]
    return (
        _connected(connected, asked_us, server_url, now_us),
        _recognised(connected),
        _first_task(first),
        _arguments(first),
        _retry(connected, first, sealed),
    )


def _connected(agents: list[AgentSeen], asked_us: int | None, server_url: str, now_us: int) -> Step:
    if agents:
        agent = max(agents, key=lambda a: a.connected_us)
        hello = agent.hello
        text = f"{hello.host}, agent {hello.version}, Python {hello.python}"
        at = moment_clock(agent.connected_us)
        return Step("succeeded", _plural_title(len(agents)), text, at)
    if asked_us is None or now_us - asked_us < DIAGNOSE_AFTER_US:
        return _waiting("Agent connected", "Listening. It calls within a second of its start.")
    text = (
        f"A minute has passed and nobody has called. Most often the worker's host cannot reach "
        f"{server_url}, or the variable is not set in the worker's own environment. This "
        "goes through the connection step by step, where your worker runs:"
    )
    return Step("retrying", "No agent yet", text, command="queuedeck-agent doctor")


def _plural_title(number: int) -> str:
    return "Agent connected" if number == 1 else f"{number} agents connected"


def _recognised(agents: list[AgentSeen]) -> Step:
    engines = [engine for agent in agents for engine in agent.hello.engines]
    if not engines:
        return _waiting("Engine recognised", "The agent says which engine, version and broker.")
    engine = max(engines, key=lambda e: e.role == "worker")
    facts = [f"{engine_tag(engine.engine).title} {engine.version}"]
    if engine.pool:
        slots = f" with {plural(engine.slots, 'slot')}" if engine.slots else ""
        facts.append(engine.pool + slots)
    if engine.queues:
        facts.append(plural(len(engine.queues), "queue"))
    if engine.tasks:
        facts.append(plural(len(engine.tasks), "task"))
    warnings = [warning for agent in agents for warning in agent.hello.warnings]
    if warnings:
        return Step("retrying", "Engine recognised, with a remark", warnings[0])
    return Step("succeeded", "Engine recognised", ", ".join(facts))


def _first_task(task: TaskRow | None) -> Step:
    if task is None:
        return _waiting("First task seen", "Send one as you always do, or wait for the next.")
    times = [f"ran {duration(task.run_us)}" if task.run_us is not None else task.state.value]
    if task.wait_us is not None:
        times.append(f"waited {duration(task.wait_us)}")
    return Step("succeeded", "First task seen", f"{task.name} {', '.join(times)}",
                moment_clock(task.seen_us))  # fmt: skip


def _arguments(task: TaskRow | None) -> Step:
    if task is None:
        return _waiting("Arguments captured", "Secrets are hidden before they leave the host.")
    if task.args_preview:
        return Step("succeeded", "Arguments captured", task.args_preview)
    return Step("queued", "No arguments in that task", "Others show theirs, secrets hidden.")


def _retry(agents: list[AgentSeen], task: TaskRow | None, sealed: bool) -> Step:
    title = "Retry possible"
    if agents and not any("retry" in agent.hello.allow for agent in agents):
        text = "The worker's QUEUEDECK_ALLOW does not include retry. That is your choice to make."
        return Step("cancelled", "Retry not allowed by the host", text)
    if task is None:
        return _waiting(title, "The original call is sealed for your agents; we hold no key.")
    if not sealed:
        text = "That task's call was too large to seal, or it was sent before the agent came."
        return Step("queued", "Retry not possible for that task", text)
    return Step("succeeded", title, "The original call is sealed; a retry sends it as it was.")


def _waiting(title: str, text: str) -> Step:
    return Step("queued", title, text, waiting=True)
