# SPDX-License-Identifier: AGPL-3.0-only
"""Arguments as fields, and fields as arguments again."""

import json

import pytest

from queuedeck.domain.commands import entered
from queuedeck.web.views.callform import fields_of_signature, fields_of_task, read, unknown_fields
from queuedeck_agent import capture_walk, wire

P = wire.Parameter
INFO = wire.TaskInfo(
    "mail.send",
    parameters=(
        P("to", "either", True),
        P("subject", "either", False, '"Hello"'),
        P("retries", "named", False, "3", "int"),
    ),
    has_signature=True,
)
HIDDEN = {"~redacted": "password"}


def raw(*args, **kwargs):
    return json.dumps({"args": args, "kwargs": kwargs}).encode()


def texts(fields):
    return {field.label: field.text for field in fields}


def errors(fields):
    return {field.label: field.error for field in fields if field.error}


def call(fields, form, kept=True):
    read_call, seen = read(fields, form, kept)
    assert errors(seen) == {}
    return read_call.args, read_call.kwargs


def test_marks_are_those_of_the_agent():
    marks = (entered.TRUNCATED_KEY, entered.REPR_KEY)
    assert marks == (capture_walk.TRUNCATED_KEY, capture_walk.REPR_KEY)


def test_fields_are_named_by_the_signature():
    fields = fields_of_task(raw("ann", retries=1), INFO, kept=True)
    assert texts(fields) == {"to": '"ann"', "retries": "1", "subject": ""}


@pytest.mark.parametrize(
    "info", [None, wire.TaskInfo("mail.send")], ids=["unknown", "no signature"]
)
def test_without_signature_there_are_two_boxes(info):
    fields = fields_of_task(raw("ann", retries=1), info, kept=True)
    assert texts(fields) == {"Arguments by place": '["ann"]', "Arguments by name": '{"retries": 1}'}


def test_call_that_is_left_as_it_is_shown_comes_back_the_same():
    shown = (7, "a\nb", 1.5, None, [1, {"x": 2}]), {"token": HIDDEN, "n": 10**30}
    fields = fields_of_task(raw(*shown[0], **shown[1]), INFO, kept=True)
    posted = {field.name: field.text for field in fields}
    assert call(fields, posted) == (list(shown[0]), shown[1])


def test_hidden_value_is_an_empty_field_that_keeps_the_original():
    fields = fields_of_task(raw("ann", HIDDEN), INFO, kept=True)
    assert (texts(fields)["subject"], fields[1].lock) == ("", "password")
    assert call(fields, {}) == (["ann", HIDDEN], {})


@pytest.mark.parametrize("value", [HIDDEN, {"deep": [HIDDEN]}, "a [redacted: card]"])
def test_hidden_value_has_to_be_written_where_nobody_has_the_original(value):
    fields = fields_of_task(raw("ann", value), INFO, kept=False)
    _, seen = read(fields, {}, kept=False)
    assert "Write the whole value" in errors(seen)["subject"]
    assert call(fields, {fields[1].name: '"new"'}, kept=False) == (["ann", "new"], {})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "This one is needed"),
        ("hello", 'A text needs quotes: "hello"'),
        ('{"a": }', "Not JSON at character 7"),
        ("NaN", "Not JSON"),
        ("[" * 100_000, "Not JSON"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(text, error):
    fields = fields_of_task(raw("ann"), INFO, kept=True)
    _, seen = read(fields, {fields[0].name: text}, kept=True)
    assert error in errors(seen)["to"]
    assert seen[0].text == text


def test_arguments_that_were_cut_are_shown_in_boxes():
    fields = fields_of_task(raw("ann", {"~truncated": 900}), INFO, kept=True)
    assert [field.kind for field in fields] == ["args", "kwargs"]
    assert call(fields, {}) == (["ann", {"~truncated": 900}], {})


@pytest.mark.parametrize("value", [b"", b"garbage", b"[]", b'{"args": {"~repr": "f(1)"}}'])
def test_arguments_that_were_not_captured_leave_the_form_empty(value):
    fields = fields_of_task(value, None, kept=False)
    assert call(fields, {}, kept=False) == ([], {})


def test_new_task_starts_with_the_defaults():
    fields = fields_of_signature(INFO)
    assert texts(fields) == {"to": "", "subject": '"Hello"', "retries": "3"}
    form = {field.name: field.text for field in fields} | {fields[0].name: '"ann"'}
    assert call(fields, form) == ([], {"to": "ann", "subject": "Hello", "retries": 3})


def test_parameters_by_place_only_and_stars():
    parameters = (P("a", "positional", True), P("b", "either"), P("c", "places"), P("d", "names"))
    fields = fields_of_signature(wire.TaskInfo("t", parameters=parameters, has_signature=True))
    names = {field.label: field.name for field in fields}
    few = {names["a"]: "1", names["b"]: "2"}
    assert call(fields, few) == ([1], {"b": 2})
    more = few | {names["*c"]: "[3, 4]", names["**d"]: '{"e": 5}'}
    assert call(fields, more) == ([1, 2, 3, 4], {"e": 5})


def test_field_of_a_signature_that_has_changed_is_noticed():
    fields = fields_of_signature(INFO)
    posted = {field.name: "1" for field in fields} | {"queue": "mail"}
    assert not unknown_fields(fields, posted)
    assert unknown_fields(fields[1:], posted)
