# SPDX-License-Identifier: AGPL-3.0-only
"""A network that delays, cuts in mid-frame, repeats whole connections and mixes up the agents."""

import pytest
from tests.support.chaos_crew import Crew, agree
from tests.support.chaos_proxy import Proxy
from tests.support.e2e_server import eventually

FULL = [pytest.mark.chaos, pytest.mark.timeout(900)]


@pytest.mark.parametrize("faults", [5, pytest.param(200, marks=FULL)])
def test_bad_network_loses_and_doubles_nothing(place, run, faults):
    with (
        Proxy(place.server.port, seed=faults) as proxy,
        Crew(place.folder, proxy.url, place.project, rate=1_000) as crew,
    ):
        eventually(lambda: proxy.counts["cut"] >= faults, 60 + 3 * faults)
        eventually(lambda: proxy.counts["doubled"] >= 1 + faults // 10, 60 + 3 * faults)
        proxy.calm()
        crew.more_acked(1)
        crew.finish()
        place.server.stop()
        run(agree(place.server.data / "history.db", 1, crew.numbered(crew.told("acked"))))
