# SPDX-License-Identifier: AGPL-3.0-only
"""The process that holds the database is killed at random moments under load: what it has
acknowledged is there, once, and every task is in the state that all events together give it.
"""

import pytest
from tests.support.chaos_kill import kill_again_and_again

FULL = [pytest.mark.chaos, pytest.mark.timeout(2_400)]


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=FULL)])
def test_killed_server_keeps_what_it_acknowledged(place, run, kills):
    store = place.server.data / "history.db"
    kill_again_and_again(place.server, place.project, store, run, kills)
