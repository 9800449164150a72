# SPDX-License-Identifier: AGPL-3.0-only
"""The tests' Celery application with a quorum queue."""

from tests.support.celery_tasks import QUEUE, app
from tests.support.rabbitmq import quorum_settings

app.conf.update(quorum_settings(QUEUE))
