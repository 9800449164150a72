# SPDX-License-Identifier: AGPL-3.0-only
"""taskiq, by the list of behaviours."""

import pytest
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.taskiq_harness import TaskiqHarness
from tests.conformance.verbs import *  # noqa: F403

pytestmark = pytest.mark.engine
HARNESS = TaskiqHarness
