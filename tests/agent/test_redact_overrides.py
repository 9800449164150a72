# SPDX-License-Identifier: AGPL-3.0-only
"""What a task's author and the operator say about redaction: hiding wins, doubts hide more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.agent.test_config import GOOD

from queuedeck_agent import capture, overrides, redact
from queuedeck_agent.config import from_env
from queuedeck_agent.overrides import ALL, hidden_in, parse, redacts

HIDDEN = redact.marker(overrides.RULE)
TOKEN = "gh" + "p_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture(autouse=True)
def no_rules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(overrides, "_rules", [])
    monkeypatch.setattr(overrides, "_said_doubts", set[str]())
    yield
    redact.hide_names(())


def pay(card: str, note: Any = "", token: str = "", order: Any = None) -> None: ...


def shown(function: Any, *args: Any, **kwargs: Any) -> Any:
    hidden = hidden_in(function, "shop.tasks.pay")
    return json.loads(capture.arguments(args, kwargs, hidden).json)


def configured(text: str) -> None:
    parsed = parse(text)
    overrides.configure(parsed.rules, parsed.doubts)


@pytest.mark.parametrize("hide", ["note", "kwargs.note", "args.1"])
def test_parameter_is_hidden_however_it_is_given(hide: str) -> None:
    task = redacts(hide=[hide])(_copy())
    assert shown(task, "c", "private")["args"] == ["c", HIDDEN]
    assert shown(task, "c", note="private")["kwargs"] == {"note": HIDDEN}


@pytest.mark.parametrize("path", ["args.0", "note", "kwargs.note", "result", "args", "kwargs"])
def test_place_in_the_setting_hides_like_the_decorator(path: str) -> None:
    marked = redacts(hide=[path])(_copy())
    expected = [shown(marked, "c", note="n"), capture.result("r", hidden_in(marked))]
    configured(f"shop.*:{path}")
    hidden = hidden_in(pay, "shop.tasks.pay")
    assert [shown(pay, "c", note="n"), capture.result("r", hidden)] == expected
    assert overrides.RULE in repr(expected)


def test_other_tasks_are_left_alone() -> None:
    configured("shop.tasks.ship:args;*.send:result")
    assert hidden_in(pay, "shop.tasks.pay") == ((2, "token"),)


def test_path_leads_into_containers() -> None:
    task = redacts(hide=["order.*.iban2", "kwargs.order.*.holder"])(_copy())
    assert shown(task, order=[{"holder": "Max", "n": 1}])["kwargs"] == HIDDEN
    task = redacts(hide=["kwargs.order.*.holder"])(_copy())
    assert shown(task, order=[{"holder": "Max", "n": 1}])["kwargs"] == {
        "order": [{"holder": HIDDEN, "n": 1}]
    }


def test_text_in_which_the_place_cannot_be_found_is_hidden_whole() -> None:
    task = redacts(hide=["kwargs.order.holder"])(_copy())
    assert shown(task, order='{"holder": "Max"}')["kwargs"] == {"order": HIDDEN}
    assert shown(task, order="x" * 5000)["kwargs"] == {"order": HIDDEN}


def test_key_with_dots_is_found() -> None:
    configured("*:kwargs.order.to.name")
    assert shown(pay, order={"to.name": "Max"})["kwargs"]["order"] == {"to.name": HIDDEN}


def test_shown_is_what_only_its_name_has_hidden() -> None:
    task = redacts(show=["token", "kwargs.order.pin"])(_copy())
    assert shown(task, "c", "n", "piece", order={"pin": [1]}) == {
        "args": ["c", "n", "piece"],
        "kwargs": {"order": {"pin": [1]}},
    }


@pytest.mark.parametrize("value", [TOKEN, f"a {TOKEN}", {"a": TOKEN}, {"password": "hunter2"}])
def test_shown_place_shows_no_secret(value: Any) -> None:
    task = redacts(show=["token"])(_copy())
    assert TOKEN not in repr(shown(task, token=value))
    assert "hunter2" not in repr(shown(task, token=value))
    assert TOKEN not in repr(shown(task, "c", "n", value))


def test_hiding_wins_over_showing() -> None:
    configured("shop.*:!kwargs.token,!kwargs.note")
    task = redacts(hide=["token", "note"])(_copy())
    assert shown(task, note="n", token="t")["kwargs"] == {"note": HIDDEN, "token": HIDDEN}


def test_what_is_in_something_hidden_stays_hidden() -> None:
    task = redacts(show=["kwargs.credentials.user"])(_copy())
    assert "bob" not in repr(shown(task, credentials={"user": "bob"}))


def test_name_of_the_operator_cannot_be_shown() -> None:
    redact.hide_names(("note",))
    try:
        task = redacts(show=["note"])(_copy())
        assert "private" not in repr(shown(task, "c", "private"))
        assert "private" not in repr(shown(task, note="private"))
    finally:
        redact._extra_names.clear()


def test_own_text_of_the_caller_hides_with_its_arguments() -> None:
    hidden = hidden_in(redacts(hide=["note"])(_copy()), "shop.tasks.pay")
    captured = capture.arguments([], {"note": "n"}, hidden).json
    found = json.loads(capture.described("('n',)", "{'note': 'n'}", captured, hidden))
    assert found == {"args": HIDDEN, "kwargs": HIDDEN}


def test_result_is_hidden_in_part() -> None:
    hidden = hidden_in(redacts(hide=["result.holder"])(_copy()))
    assert json.loads(capture.result({"holder": "Max", "n": 1}, hidden)) == {
        "holder": HIDDEN,
        "n": 1,
    }


def test_setting_mixes_names_and_places() -> None:
    parsed = parse("iban patient_id; shop.tasks.pay : kwargs.note, args.0 ,!kwargs.n;*.send:result")
    assert parsed.names == ("iban", "patient_id")
    assert [(rule.pattern, *rule.path, rule.shows) for rule in parsed.rules] == [
        ("shop.tasks.pay", "kwargs", "note", False),
        ("shop.tasks.pay", "args", "0", False),
        ("shop.tasks.pay", "kwargs", "n", True),
        ("*.send", "result", False),
    ]
    assert parsed.doubts == ()


def test_setting_of_a_framework_joins_entries_by_commas() -> None:
    parsed = parse("shop.a:kwargs.x,iban,shop.b:args.0")
    assert parsed.names == ("iban",)
    assert [rule.pattern for rule in parsed.rules] == ["shop.a", "shop.b"]


@pytest.mark.parametrize(
    "text",
    [
        *("shop.*:", "shop.*:kwarg.note", "shop.*:args.first", "shop.*:note..x", ":kwargs.x"),
        *("shop.*:kwargs.x:args.0", "shop.*:kwargs.x,arg.0", "args.first"),
    ],
)
def test_broken_place_hides_all_and_says_so_once(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    configured(text)
    configured(text)
    assert shown(pay, "c", note="n") == {"args": HIDDEN, "kwargs": HIDDEN}
    assert len(caplog.records) == 1


def test_broken_showing_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    configured("shop.*:!kwarg.token")
    assert shown(pay, token="t")["kwargs"] == {"token": redact.marker("token")}
    assert "shown" in caplog.text


@pytest.mark.parametrize("hide", ["arg.0", "", "args.one", "a..b"])
def test_decorator_that_is_not_understood_hides_all(hide: str) -> None:
    assert hidden_in(redacts(hide=[hide])(_copy())) == ((2, "token"), *_hides(ALL))


def test_decorator_at_the_wrong_place_hides_all_of_all_tasks() -> None:
    redacts(hide=["note"])(_Task())
    assert shown(pay, "c", note="n") == {"args": HIDDEN, "kwargs": HIDDEN}


def test_settings_are_read_from_the_environment() -> None:
    read = from_env({"QUEUEDECK_DSN": GOOD, "QUEUEDECK_REDACT": "iban;shop.*:result,kwarg.a"})
    assert read.redact.names == ("iban",)
    assert [rule.path for rule in read.redact.rules] == [("result",), *ALL]
    assert "kwarg.a" in read.warnings[0]


class _Task:
    def __call__(self) -> None: ...


def _copy() -> Any:
    def pay(card: str, note: Any = "", token: str = "", order: Any = None) -> None: ...

    return pay


def _hides(paths: Any) -> tuple[Any, ...]:
    return tuple((path, overrides.RULE) for path in paths)
