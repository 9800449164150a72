# SPDX-License-Identifier: AGPL-3.0-only
"""The harness of each engine, for tests that ask the same of all six."""

from tests.conformance.dramatiq_harness import DramatiqHarness
from tests.conformance.harness import Harness
from tests.conformance.rq_harness import RqHarness
from tests.conformance.taskiq_harness import TaskiqHarness
from tests.conformance.test_arq import ArqHarness
from tests.conformance.test_celery import CeleryHarness
from tests.conformance.test_huey import HueyHarness

EVERY: dict[str, type[Harness]] = {
    one.engine: one
    for one in (
        CeleryHarness,
        RqHarness,
        DramatiqHarness,
        HueyHarness,
        ArqHarness,
        TaskiqHarness,
    )
}
