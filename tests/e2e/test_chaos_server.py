# SPDX-License-Identifier: AGPL-3.0-only
"""The process that holds the server's data is killed; each event is there exactly once."""

from tests.support.e2e_chaos import OPTIONS, agree, all_written
from tests.support.e2e_worker import start_worker


@OPTIONS
def test_server_killed_in_mid_stream_loses_and_doubles_nothing(place, app_of, tmp_path, options):
    broker, server, project = place
    worker = start_worker(tmp_path, broker, project.dsn, *options)
    tasks = app_of(broker)
    sent = []
    for _ in range(3):
        sent += [tasks.add.delay(n, n).id for n in range(80)]
        all_written(broker, len(sent) - 50)
        server.kill()
        sent += [tasks.add.delay(n, n).id for n in range(20)]
        server.start()
    all_written(broker, len(sent))
    agree(project, broker, set(sent))
    worker.stop()
