# SPDX-License-Identifier: AGPL-3.0-only
"""RQ, by the list of behaviours."""

import pytest
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.rq_harness import RqHarness

pytestmark = pytest.mark.engine
HARNESS = RqHarness
