# SPDX-License-Identifier: AGPL-3.0-only
"""Huey."""

from huey import RedisHuey
from tests.support.everywhere import charge as shop

huey = RedisHuey(shop.QUEUE, url=shop.BROKER)
charge = huey.task(name="charge")(shop.charge)


def send(order, password):
    charge(order, password=password)
