# SPDX-License-Identifier: AGPL-3.0-only
"""What is said about the redaction of a task is found on each engine, without a broker."""

from collections.abc import Callable
from typing import Any

import arq.worker
import celery
import dramatiq
import pytest
import redis
import rq.job
from dramatiq.brokers.stub import StubBroker
from huey import MemoryHuey
from taskiq import InMemoryBroker
from tests.agent.conftest import MakeAgent

from queuedeck_agent import overrides
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.arq.call import Functions
from queuedeck_agent.engines.celery.arguments import Arguments as CeleryArguments
from queuedeck_agent.engines.dramatiq.send import SendHooks as DramatiqHooks
from queuedeck_agent.engines.huey.call import Arguments as HueyArguments
from queuedeck_agent.engines.rq.publish import PublishHooks as RqHooks
from queuedeck_agent.engines.taskiq.send import SendHooks as TaskiqHooks
from queuedeck_agent.overrides import RULE, Hidden, TaskRule, redacts


@redacts(hide=["note"])
def pay(card: str, note: str = "") -> None: ...


@redacts(hide=["note"])
async def pay_later(ctx: Any, card: str, note: str = "") -> None: ...


def on_celery(agent: Agent) -> Hidden:
    app = celery.Celery("shop", broker="memory://")
    app.task(name="pay", bind=False)(pay)
    app.finalize()
    return CeleryArguments(agent, app, "s").hidden_in("pay")


def on_dramatiq(agent: Agent) -> Hidden:
    broker = StubBroker(middleware=[])
    dramatiq.actor(pay, actor_name="pay", broker=broker)
    return DramatiqHooks(agent, broker, "s").signatures.hidden("pay")


def on_taskiq(agent: Agent) -> Hidden:
    broker = InMemoryBroker()
    broker.task("pay")(pay)
    return TaskiqHooks(agent, broker, "s").signatures.hidden("pay")


def on_huey(agent: Agent) -> Hidden:
    task = MemoryHuey(immediate=False).task(name="pay")(pay).s("c")
    return HueyArguments(agent, "s").hidden_in(task)


def on_arq(agent: Agent) -> Hidden:
    functions = Functions()
    functions.learn("pay", arq.worker.func(pay_later, name="pay").coroutine)
    return functions.hidden_in("pay")


def on_rq(agent: Agent) -> Hidden:
    job = rq.job.Job.create(pay, connection=redis.Redis())  # connects when it must, which is never
    hidden = RqHooks(agent, "2").hidden_in(job, f"{__name__}.pay")
    assert hidden is not None
    return hidden


@pytest.mark.parametrize("find", [on_celery, on_dramatiq, on_taskiq, on_huey, on_arq, on_rq])
def test_each_engine_finds_decorator_and_setting(
    find: Callable[[Agent], Hidden], make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overrides, "_rules", [TaskRule("*pay", ("result",))])
    assert find(make_agent()) == (
        (("kwargs", "note"), RULE),
        (("result",), RULE),
        (("args", "1"), RULE),
    )
