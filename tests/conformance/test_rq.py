# SPDX-License-Identifier: AGPL-3.0-only
"""RQ, by the list of behaviours and of verbs."""

from typing import Any

import pytest
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.rq_harness import RqHarness
from tests.conformance.verbs import *  # noqa: F403

pytestmark = pytest.mark.engine


class TwoQueues(RqHarness):
    """From several queues RQ takes in another way than from one; `test_rq_workers` has one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.other_queue = f"{self.queue}-other"


HARNESS = TwoQueues
