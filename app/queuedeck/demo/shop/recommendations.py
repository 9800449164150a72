# SPDX-License-Identifier: AGPL-3.0-only
"""The recommendations of the shop, on taskiq."""

import asyncio
import secrets
from typing import Any

from taskiq import SimpleRetryMiddleware, TaskiqMessage, TaskiqMiddleware, TaskiqResult

import queuedeck_agent
from queuedeck.demo.shop.lists import ListQueueBroker
from queuedeck.demo.shop.notes import BROKER, Notes, duration_s

notes = Notes("taskiq")


class NotEnoughData(ValueError):
    """Nothing can be said of this customer yet. Running it again may help."""


class ClickLogLate(OSError):
    """The log of the last hour is not there yet."""


class Noting(TaskiqMiddleware):
    """Notes what was sent and what ran."""

    def post_send(self, message: TaskiqMessage) -> None:
        notes.sent(message.task_id)

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        notes.ran(message.task_id)
        return message

    def post_execute(self, message: TaskiqMessage, result: "TaskiqResult[Any]") -> None:
        notes.ended(message.task_id, well=not result.is_err)


# The types of tasks are lost in its decorator.
broker: Any = ListQueueBroker(BROKER, "ranking").with_middlewares(Noting(), SimpleRetryMiddleware())


@broker.task("recommendations.rank_products")
async def rank_products(customer: int, visits: int) -> list[str]:
    """Sends the next task itself. Of some customers too little is known, until it is retried."""
    await asyncio.sleep(duration_s(0.05, 0.4))
    if visits < 2 and notes.is_down(f"customer {customer}", 60):
        raise NotEnoughData(f"customer {customer} has made {visits} of the 2 visits it takes")
    products = [f"SKU-{customer * n % 900 + 100}" for n in (7, 13, 29)]
    await store_ranking.kiq(customer, products)
    return products


@broker.task("recommendations.store_ranking")
async def store_ranking(customer: int, products: list[str]) -> int:
    await asyncio.sleep(duration_s(0.01, 0.05))
    return len(products)


@broker.task("recommendations.load_clicks", retry_on_error=True, max_retries=3)
async def load_clicks(hour: int, *, access_token: str) -> int:
    """Has a secret among its arguments. Now and then the log is late, and taskiq tries again."""
    await asyncio.sleep(duration_s(0.1, 0.3))
    if notes.is_down("click log", 20):
        raise ClickLogLate(f"clicks-{hour:02}.gz is not there yet")
    return 1200 + hour * 31


@broker.task("recommendations.train_model", timeout=1)
async def train_model(kind: str, rounds: int) -> dict[str, float]:
    """Says how far it is. The large one takes longer than its time limit."""
    queuedeck_agent.tag(f"model-{kind}")
    for done in range(1, rounds + 1):
        await asyncio.sleep(0.1)
        queuedeck_agent.progress(done, rounds, "rounds of training")
    return {"auc": 0.81, "minutes": rounds / 10}


async def send(number: int, _later_s: float) -> None:
    """What the website asks for in one round. On Redis taskiq has nothing for later."""
    customer = number % 60 + 100
    if number % 2 == 1:
        await rank_products.kiq(customer, 1 if number % 28 == 3 else number % 9 + 2)
    if number % 5 == 1:
        await load_clicks.kiq(number % 24, access_token=f"clk_{secrets.token_hex(12)}")
    if number % 12 == 4:
        kind, rounds = ("full", 40) if number % 36 == 16 else ("nightly", 8)
        await train_model.kiq(kind, rounds)
