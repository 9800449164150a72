# SPDX-License-Identifier: AGPL-3.0-only
"""The demo knows what it needs for each engine, and says what it lacks."""

import msgspec
import pytest

from queuedeck.demo.engines import PARTS, SHOP, Part
from queuedeck.domain.tasks.filters import ENGINES

BY_ENGINE = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.engine)


def test_demo_has_every_engine():
    assert {part.engine for part in PARTS} == set(ENGINES)


@BY_ENGINE
def test_part_lacks_nothing_here(part: Part):
    assert part.lacks == ""


@BY_ENGINE
def test_worker_is_the_command_of_this_environment(part: Part):
    assert part.worker[0].endswith(f"/bin/{part.command[0]}")
    assert tuple(part.worker[1:]) == part.command[1:]


def test_shop_is_where_workers_look():
    assert {"orders.py", "invoices.py", "mail.py", "stock.py", "webhooks.py"} <= {
        one.name for one in SHOP.iterdir()
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engine": "no_such_engine"}, "no_such_engine is not installed"),
        ({"command": ("no-such-worker", "orders")}, "there is no "),
    ],
    ids=["package", "program"],
)
def test_what_is_missing_is_said(change, said):
    assert said in msgspec.structs.replace(PARTS[0], **change).lacks
