# SPDX-License-Identifier: AGPL-3.0-only
"""Outcomes of commands in words: requested is not done."""

import pytest

from queuedeck.domain.commands.queries import CommandSeen, CommandState
from queuedeck.web.views.commands import command_view, person
from queuedeck_agent import wire


def a_command(state, **more):
    fields = {
        "id": "c" * 32, "project_id": 1, "verb": "retry", "engine": "celery", "source": "s",
        "task_id": "t-1", "task_key": 1, "task_name": "shop.pay", "queue": "q", "attempt": 1,
        "seal_id": "", "code": "", "message": "", "effect": "", "new_task_id": "",
        "verified": True, "requested_by": "user:ann@example.com", "audit_seq": 1, "agent_id": "",
        "created_us": 1_000_000, "deadline_us": 61_000_000, "sent_us": None, "finished_us": None,
        "target": "task:1", "details": wire.CommandDetails(), "only_agent": "", "operation_id": "",
        "affected": -1, "found": b"", "has_payload": False,
    }  # fmt: skip
    return CommandSeen(**fields | {"state": state} | more)


@pytest.mark.parametrize(
    ("state", "more", "text", "note"),
    [
        ("pending", {}, "Retry requested, waiting for an agent", "given up in 1 m"),
        ("sent", {}, "Retry sent to an agent", ""),
        ("done", {"effect": "Sent to queue `q`."}, "Retry done", "Sent to queue `q`."),
        ("done", {"verified": False}, "Retry passed on, the effect is not seen yet", ""),
        ("failed", {"message": "The host refused."}, "Retry failed", "The host refused."),
        ("expired", {}, "Retry expired, nothing was done", ""),
        ("unknown", {}, "Retry: outcome unknown", "Nothing is repeated."),
    ],
)
def test_each_outcome_has_its_words(state, more, text, note):
    view = command_view(a_command(CommandState(state), **more), "shop", 1_000_000)
    assert view.text == text
    assert note in view.note


def test_new_task_of_a_retry_is_linked():
    command = a_command(CommandState.DONE, new_task_id="0fbfde02-aaaa")
    view = command_view(command, "shop", 2_000_000)
    assert (view.new_task, view.new_url) == ("0fbfde02", "/p/shop/tasks/celery/0fbfde02-aaaa")


@pytest.mark.parametrize(
    ("label", "name"),
    [("user:ann@example.com", "ann@example.com"), ("token:qd_pat_1", "token:qd_pat_1"), ("", "")],
)
def test_person_is_named_without_its_kind(label, name):
    assert person(label) == name
