# SPDX-License-Identifier: AGPL-3.0-only
"""Arguments that cannot be shown, encoded or sealed reach the task as they were sent."""

import pytest
from tests.support.e2e_server import eventually
from tests.support.e2e_worker import RESULT_S

ODD = {
    "a raising repr": "tasks.Unprintable()",
    "100 MB": "'x' * 100_000_000",
    "a deep list": "_deep(200)",
    "a set of bytes": "{b'\\xff', b'\\x00'}",
    "half a surrogate": "'\\ud800'",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_odd_arguments_reach_the_task(worker, tasks, project, value):
    argument = eval(value, {"tasks": _importable(), "_deep": _deep})
    sent = tasks.odd.apply_async((argument,), serializer="pickle")
    assert sent.get(timeout=RESULT_S) == type(argument).__name__
    eventually(lambda: project.api.states().get(sent.id) == "succeeded")


def _importable():
    """The module under the name that the worker knows, for pickle."""
    from tests.support import e2e_app

    return e2e_app


def _deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value
