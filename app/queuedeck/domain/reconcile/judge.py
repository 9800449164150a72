# SPDX-License-Identifier: AGPL-3.0-only
"""What may be concluded from the answer about one task. Pure; `docs/reconcile.md` has it in words.

A task is lost only when its engine knows nothing of it, or only still has it in its books, and the
process that began it is known to be dead, or its agent has been away for longer than is set. Never
by time alone while that agent is connected.
"""

from typing import NamedTuple

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.reconcile.processes import Holders
from queuedeck.history.facts import Verdict
from queuedeck.history.suspects import OpenTask

_ENDED = {
    "succeeded": Verdict.SUCCEEDED,
    "failed": Verdict.FAILED,
    "cancelled": Verdict.CANCELLED,
}
_WAITING = ("queued", "scheduled")
_RUNNING = "running"
_STARTED = "started"
_GONE = "gone"

_NOBODY = "{where} Nobody reported who took it, so nothing is concluded."
_THERE = "{where} The process that began it may still run it, so nothing is concluded."
_AWAY = "Its agent has not been heard for {minutes}. {where}"


class Answer(msgspec.Struct, frozen=True):
    """What an agent said of one task. Of an agent that says it otherwise: nothing known."""

    id: str
    state: str
    where: str = ""
    process: str = ""
    """`alive`, `dead`, or empty: not known on its host."""
    why: str = ""
    families: tuple[str, ...] = ()
    """The agents that `process` is about."""


class Judgement(NamedTuple):
    verdict: Verdict
    text: str


def judge(task: OpenTask, answer: Answer, holders: Holders, now_us: int, away_us: int) -> Judgement:
    """`holders` as they are when the answer is read: an agent may have come back meanwhile.
    `away_us`: for how long an agent is away before that counts.
    """
    where = _sentence(answer.where)
    if answer.state in _ENDED:
        return Judgement(_ENDED[answer.state], where)
    if answer.state in _WAITING:
        return Judgement(Verdict.WAITING, where)
    if answer.state == _RUNNING:
        return Judgement(Verdict.RUNNING, where)
    if answer.state not in (_STARTED, _GONE):
        return Judgement(Verdict.UNKNOWN, where)
    if not task.starts:
        return Judgement(Verdict.UNKNOWN, _NOBODY.format(where=where))
    if _is_dead(answer, holders):
        return Judgement(Verdict.LOST, f"{answer.why} {where}")
    silent_us = now_us - holders.heard_us
    if not holders.present and answer.process != "alive" and silent_us >= away_us:
        return Judgement(Verdict.LOST, _AWAY.format(minutes=_long(silent_us), where=where))
    if answer.state == _STARTED:
        return Judgement(Verdict.RUNNING, where)
    return Judgement(Verdict.UNKNOWN, _THERE.format(where=where))


def _is_dead(answer: Answer, holders: Holders) -> bool:
    """By the operating system of its host. An agent that is connected is not dead, whoever says
    so."""
    present = {agent.agent_id for agent in holders.present}
    return answer.process == "dead" and present.isdisjoint(answer.families)


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _long(us: int) -> str:
    minutes = us // (60 * SECOND_US)
    if minutes < 2:
        return f"{us // SECOND_US} seconds"
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
