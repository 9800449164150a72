# SPDX-License-Identifier: AGPL-3.0-only
"""A whole worker is killed with events that the server has not got: another one ships them."""

import os
import signal
import time

from tests.support.e2e_chaos import OPTIONS, agree, all_written
from tests.support.e2e_worker import start_worker


@OPTIONS
def test_worker_killed_with_undelivered_events_is_survived_by_them(
    place, app_of, tmp_path, options
):
    broker, server, project = place
    worker = start_worker(tmp_path, broker, project.dsn, *options)
    tasks = app_of(broker)
    first = [tasks.add.delay(n, n).id for n in range(50)]
    all_written(broker, len(first))
    server.kill()
    second = [tasks.add.delay(n, n).id for n in range(90)]
    all_written(broker, len(first) + len(second))
    time.sleep(0.3)  # The parent hears of the last results a moment after the tasks wrote.
    os.killpg(worker.pid, signal.SIGKILL)
    worker.kill()
    server.start()
    stored = project.api.states()
    assert not set(second) & {i for i, s in stored.items() if s == "succeeded"}
    successor = start_worker(tmp_path, broker, project.dsn, *options)
    agree(project, broker, {*first, *second})
    successor.stop()
