# SPDX-License-Identifier: AGPL-3.0-only
"""Rules as a whole: which fits, in which order, what a result must be, what is refused."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuedeck.domain.labels.defaults import DEFAULT_SET
from queuedeck.domain.labels.place import RuleInvalid
from queuedeck.domain.labels.rules import ResultTest, RuleInput, RuleKind, RuleSet, compiled


def a_label(pattern, template="{kwargs.job}"):
    return RuleInput(kind=RuleKind.LABEL, pattern=pattern, template=template)


def a_mark(test=ResultTest.EQUALS, path="status", value="error", **more):
    fields = {"kind": RuleKind.MARK, "pattern": "*", "title": "bad"} | more
    return RuleInput(test=ResultTest(test), path=path, value=value, **fields)


def made(*rules):
    return RuleSet([compiled(rule) for rule in rules])


def call(*args, **kwargs):
    return msgspec.json.encode({"args": args, "kwargs": kwargs})


def test_first_rule_that_yields_something_counts():
    rules = made(a_label("app.*", "{kwargs.gone}"), a_label("app.run", "1 {args.0}"), a_label("*"))
    assert rules.label("app.run", call(5, job="import")) == "1 5"
    assert rules.label("app.other", call(job="import")) == "import"
    assert rules.label("app.run", call()) == ""
    assert rules.label("app.run", b"") == ""


@pytest.mark.parametrize("payload", [b"{", b"\xff\xfe", b"[" * 5_000, b"null", b'"text"', b"[1]"])
def test_payload_that_is_no_call_has_no_label_and_no_mark(payload):
    rules = made(a_label("*", "{args.0}"), a_mark())
    assert rules.label("app.run", payload) == ""
    assert rules.mark("app.run", payload) == ""


@settings(deadline=None)
@given(st.binary(max_size=60), st.text(max_size=20))
def test_no_payload_and_no_name_is_an_error(payload, name):
    rules = made(a_label("*a*"), a_mark("contains", "", "x"), a_mark("exists", "a.*.b", ""))
    assert isinstance(rules.label(name, payload) + rules.mark(name, payload), str)


FITS = [
    ("equals", "status", "error", {"status": "error"}, True),
    ("equals", "status", "error", {"status": "errors"}, False),
    ("equals", "status", "err*", {"status": "errors"}, True),
    ("equals", "ok", "false", {"ok": False}, True),
    ("equals", "code", "3", {"code": 3}, True),
    ("equals", "0", "1", [1, 2], True),
    ("equals", "items.*.state", "failed", {"items": [{"state": "ok"}, {"state": "failed"}]}, True),
    ("equals", "items.*.state", "failed", {"items": [{"state": "ok"}]}, False),
    ("equals", "status", "error", {"status": {"a": "error"}}, False),
    ("exists", "error", "", {"error": "timeout"}, True),
    ("exists", "error", "", {"error": {"code": 5}}, True),
    ("exists", "error", "", {"error": None}, False),
    ("exists", "error", "", {"error": ""}, False),
    ("exists", "errors", "", {"errors": []}, False),
    ("exists", "error", "", {}, False),
    ("contains", "", "failed", "It FAILED again", True),
    ("contains", "", "failed", {"log": ["fine", "failed"]}, True),
    ("contains", "log", "failed", {"why": "failed"}, False),
    ("contains", "", "failed", "fine", False),
]


@pytest.mark.parametrize(("test", "path", "value", "result", "holds"), FITS)
def test_mark_says_what_the_result_says(test, path, value, result, holds):
    found = made(a_mark(test, path, value)).mark("app.run", msgspec.json.encode(result))
    assert found == ("bad" if holds else "")


def test_mark_without_a_title_is_called_by_its_condition():
    rules = made(a_mark(title=""), a_mark("exists", "error", "", title=""))
    assert rules.mark("a", b'{"status":"error"}') == "status = error"
    assert rules.mark("a", b'{"error":1}') == "has error"


WRONG = [
    (a_label(""), "pattern", "It is empty", 0),
    (a_label("app run"), "pattern", "' ' stands in this name", 3),
    (a_label("a,b"), "pattern", "',' stands in this name", 1),
    (a_label("x" * 201), "pattern", "This is too long", 200),
    (a_label("a", "job"), "template", "Nothing in it comes from the task", 0),
    (a_mark(path=""), "path", "It is empty", 0),
    (a_mark("exists", ""), "path", "It is empty", 0),
    (a_mark(path="a..b"), "path", "A step is missing", 2),
    (a_mark(path="a. b"), "path", "A step has spaces around it", 2),
    (a_mark(path=".".join("abcdefghi")), "path", "It has too many steps", 0),
    (a_mark(value=""), "value", "It is empty", 0),
    (a_mark(value="x" * 201), "value", "This is too long", 200),
    (a_mark(title="x" * 41), "title", "This is too long", 40),
    (a_mark(title="a\nb"), "title", "A title is one line", 0),
]


@pytest.mark.parametrize(("rule", "field", "problem", "offset"), WRONG)
def test_mistake_is_told_with_field_and_place(rule, field, problem, offset):
    with pytest.raises(RuleInvalid) as caught:
        compiled(rule)
    error = caught.value
    assert (error.field, error.problem, error.offset) == (field, problem, offset)
    assert error.details["place"] == {"offset": offset, "length": error.length}


def test_shipped_rules_name_what_celery_and_others_run():
    shipped = {
        "celery.chord_unlock": (call("group", {"task": "app.sum"}), "chord of app.sum"),
        "celery.map": (call(task={"task": "app.add"}, it=[]), "app.add"),
        "app.tasks.run_job": (call("import_users"), "import_users"),
        "run_job": (call(3, job_name="import_users"), "import_users"),
        "shop.handle_event": (call({"type": "order.paid", "id": 3}), "order.paid"),
        "django.core.management.call_command": (call("clearsessions"), "clearsessions"),
        "frappe.utils.background_jobs.execute_job": (call(method="a.b"), "a.b"),
        "airflow.executors.celery_executor.execute_command": (
            call(["airflow", "tasks", "run", "etl", "load", "r1"]),
            "etl.load",
        ),
        "app.mail.send": (call("import_users"), ""),
    }
    found = {name: DEFAULT_SET.label(name, args) for name, (args, _) in shipped.items()}
    assert found == {name: label for name, (_, label) in shipped.items()}
