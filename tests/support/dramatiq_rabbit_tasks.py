# SPDX-License-Identifier: AGPL-3.0-only
"""A Dramatiq application on the RabbitMQ of the tests."""

import os
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from tests.support.dramatiq_tasks import QUEUE, told

broker = RabbitmqBroker(url=os.environ["TEST_QUEUES"], confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="tests.patient", queue_name=QUEUE, max_retries=0)
def patient(seconds: float) -> None:
    told("waits", os.getpid())
    time.sleep(seconds)
    told("waited", os.getpid())
