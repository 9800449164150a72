# SPDX-License-Identifier: AGPL-3.0-only
"""Dramatiq, by the list of behaviours."""

import pytest
from tests.conformance.behaviours import *  # noqa: F403
from tests.conformance.dramatiq_harness import DramatiqHarness
from tests.conformance.verbs import *  # noqa: F403

pytestmark = pytest.mark.engine
HARNESS = DramatiqHarness
