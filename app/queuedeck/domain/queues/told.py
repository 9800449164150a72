# SPDX-License-Identifier: AGPL-3.0-only
"""Which agents have a pause, which do not and why, and who must be asked next. Pure.

A pause is kept by each process's agent in a file of its host. So every process that comes is asked,
also one on a host that has it already; a process that comes back is not asked again. When a pause
ends, whoever may have it is told, also a new process on a host where an older one had it.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.agents.registry import AgentSeen
from queuedeck.domain.commands.queries import CommandState

AGAIN_US = 60 * SECOND_US
"""After so long an agent is asked again that was away, or whose host's limit a minute was met."""
PAUSE = "pause"
RESUME = "resume"
_SURELY_NOT = frozenset({"refused", "rate", "invalid", "unsupported", "expired"})
"""With these codes an agent says that it has done nothing."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One order to one agent, and what came of it."""

    id: int
    pause_id: int
    agent_id: str
    host: str
    worker: str
    verb: str
    command_id: str
    created_us: int
    state: CommandState
    code: str
    message: str
    effect: str
    verified: bool

    @property
    def is_open(self) -> bool:
        return self.state in (CommandState.PENDING, CommandState.SENT)

    @property
    def may_hold(self) -> bool:
        """Whether a pause may be in effect there."""
        ended = self.state is CommandState.FAILED and self.code in _SURELY_NOT
        return not ended and self.state is not CommandState.EXPIRED

    def is_due_again(self, now: int) -> bool:
        undone = self.state is CommandState.EXPIRED or self.code == "rate"
        return undone and now - self.created_us >= AGAIN_US


class Word(StrEnum):
    """How far the pause has come with one worker."""

    CONFIRMED = "confirmed"
    WAITING = "waiting"
    """Not asked yet, not answered yet, or done and not seen to work yet."""
    REFUSED = "refused"
    UNABLE = "unable"
    """It is not asked: its engine or its host does not do this."""
    UNKNOWN = "unknown"
    """It was asked and never answered."""


class PausedWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A connected worker of a paused queue."""

    agent_id: str
    host: str
    worker: str
    word: Word
    why: str = ""
    """What it said, or why it was not asked."""


def consumes(agent: AgentSeen, source: str, queue: str) -> bool:
    """Whether a worker of this process takes from the queue."""
    return any(
        engine.source == source and engine.role == "worker" and queue in engine.queues
        for engine in agent.hello.engines
    )


def workers_of(
    agents: Sequence[AgentSeen], source: str, queue: str, pause_id: int, told: Sequence[Told]
) -> list[PausedWorker]:
    """Every connected worker of the queue, and how far the pause has come there. One that was
    asked is a worker of it also when its engine no longer names the queue because of that."""
    found = [
        (agent, _newest(told, agent, PAUSE, pause_id))
        for agent in agents
        if agent.connected and agent.engine_of(source)
    ]
    return [
        _worker(agent, source, last)
        for agent, last in found
        if last is not None or consumes(agent, source, queue)
    ]


def to_ask(
    agents: Sequence[AgentSeen],
    source: str,
    queue: str,
    pause_id: int | None,
    told: Sequence[Told],
    now: int,
) -> list[tuple[AgentSeen, str]]:
    """(agent, verb) of whom must be asked now. `pause_id`: the pause that holds, if one does;
    `told`: all orders on this queue, oldest first, those of earlier pauses too."""
    found: list[tuple[AgentSeen, str]] = []
    for agent in agents:
        if not agent.connected or agent.engine_of(source) is None:
            continue
        if pause_id is not None and consumes(agent, source, queue):
            last = _newest(told, agent, PAUSE, pause_id)
            if (last is None or last.is_due_again(now)) and agent.can(source, PAUSE)[0]:
                found.append((agent, PAUSE))
        elif pause_id is None and _must_resume(agent, told, now) and agent.can(source, RESUME)[0]:
            found.append((agent, RESUME))
    return found


def is_settled(told: Sequence[Told]) -> bool:
    """Whether every process that may have been paused has answered that it goes on."""
    agents = {one.agent_id for one in told if one.verb == PAUSE and one.may_hold}
    return all(not _holds([one for one in told if one.agent_id == agent]) for agent in agents)


def _worker(agent: AgentSeen, source: str, last: Told | None) -> PausedWorker:
    engine = agent.engine_of(source)
    word, why = _word(agent, source, last)
    name = engine.worker if engine else ""
    return PausedWorker(
        agent_id=agent.agent_id, host=agent.hello.host, worker=name, word=word, why=why
    )


def _word(agent: AgentSeen, source: str, last: Told | None) -> tuple[Word, str]:
    if last is None:
        able, reason = agent.can(source, PAUSE)
        return (Word.WAITING, "") if able else (Word.UNABLE, reason)
    match last.state:
        case CommandState.DONE:
            return (Word.CONFIRMED if last.verified else Word.WAITING), last.effect
        case CommandState.FAILED:
            return (Word.WAITING if last.code == "rate" else Word.REFUSED), last.message
        case CommandState.UNKNOWN:
            return Word.UNKNOWN, last.message
        case _:
            return Word.WAITING, ""


def _must_resume(agent: AgentSeen, told: Sequence[Told], now: int) -> bool:
    mine = [one for one in told if one.agent_id == agent.agent_id]
    if any(one.may_hold for one in mine if one.verb == PAUSE):
        held, last = _holds(mine), _last(mine, RESUME)
        paused = _last([one for one in mine if one.may_hold], PAUSE)
        is_asked = last is not None and paused is not None and last.id > paused.id
        return held and (not is_asked or (last is not None and last.is_due_again(now)))
    host = [one for one in told if one.host == agent.hello.host]
    last = _last(mine, RESUME)
    return _holds(host) and (last is None or last.is_due_again(now))


def _holds(told: Sequence[Told]) -> bool:
    """Whether a pause was given after the last one who said that it goes on."""
    paused = _last([one for one in told if one.may_hold], PAUSE)
    going = _last([one for one in told if one.state is CommandState.DONE], RESUME)
    return paused is not None and (going is None or going.id < paused.id)


def _last(told: Sequence[Told], verb: str) -> Told | None:
    return next((one for one in reversed(told) if one.verb == verb), None)


def _newest(told: Sequence[Told], agent: AgentSeen, verb: str, pause_id: int) -> Told | None:
    mine = (one for one in told if one.agent_id == agent.agent_id and one.pause_id == pause_id)
    return _last(list(mine), verb)
