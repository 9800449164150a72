# SPDX-License-Identifier: AGPL-3.0-only
"""Capture is bounded, runs no code of the application, and lets no secret through."""

import datetime
import decimal
import enum
import json
import sys
import tracemalloc
import uuid
from typing import Any, NoReturn

import msgspec
import pytest
from benchmarks import payload
from hypothesis import given
from hypothesis import strategies as st

from queuedeck_agent import capture, capture_walk
from queuedeck_agent.capture_walk import REPR_KEY, TRUNCATED_KEY
from queuedeck_agent.redact import REDACTED_KEY


def shown(*args: Any, **kwargs: Any) -> Any:
    return msgspec.json.decode(capture.arguments(args, kwargs).json)


class Hostile:
    """Every method that a careless capture would call."""

    def __refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("called")

    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __refuse  # type: ignore[assignment]
    __getattr__ = __refuse


class SlyDict(dict[str, int]):
    def items(self) -> NoReturn:
        raise RuntimeError("called")


class SlyStr(str):
    def __str__(self) -> NoReturn:
        raise RuntimeError("called")


class Colour(enum.Enum):
    RED = 1


def test_standard_payload_is_shown_without_its_secret() -> None:
    found = capture.arguments(payload.ARGS, payload.KWARGS)
    assert payload.SECRET.encode() not in found.json
    assert found.plain
    assert json.loads(found.json)["kwargs"]["api_token"] == {REDACTED_KEY: "token"}


def test_plain_values_come_back_as_they_are() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": ["d"]}}
    assert shown(value) == {"args": [value], "kwargs": {}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Hostile(), f"<{__name__}.Hostile>"),
        (Colour.RED, f"<{__name__}.Colour.RED>"),
        (b"secret bytes", "<bytes of 12 bytes>"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (float("nan"), "nan"),
        (2**70, str(2**70)),
        (2**4000, "<int of 4001 bits>"),
        (SlyStr("quiet"), "quiet"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_shown_without_running_their_code(value: object, text: str) -> None:
    found = capture.arguments([value], {})
    assert msgspec.json.decode(found.json)["args"] == [text]
    assert not found.plain


def test_subclasses_of_containers_are_read_by_the_base_class() -> None:
    assert shown(SlyDict(a=1))["args"] == [{"a": 1}]


def test_hostile_keys_are_named_by_class() -> None:
    assert shown({uuid.UUID(int=1): 1, 7: 2})["args"] == [
        {"00000000-0000-0000-0000-000000000001": 1, "7": 2}
    ]


def test_long_string_says_how_long_it_was() -> None:
    cut = shown("x" * 5000)["args"][0]
    assert cut[TRUNCATED_KEY] == 5000
    assert len(cut["head"]) == capture_walk.MAX_STRING


def test_secret_across_the_cut_is_hidden() -> None:
    secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    text = "x" * (capture_walk.MAX_STRING - 12) + " " + secret + "y" * 100
    assert "16C7e42" not in json.dumps(shown(text))


def test_long_list_and_dict_say_how_much_is_left_out() -> None:
    many = shown(list(range(1000)), dict.fromkeys(map(str, range(150)), 0))["args"]
    assert many[0][-1] == {TRUNCATED_KEY: 900}
    assert many[1][TRUNCATED_KEY] == 50


def test_recursion_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert TRUNCATED_KEY in json.dumps(shown(loop))


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000_000, [["y" * 1_000_000] * 1_000] * 1_000, dict.fromkeys(range(1_000_000), "z")],
    ids=["string", "nested", "dict"],
)
def test_huge_arguments_cost_little(value: object) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        found = capture.arguments([value], {})
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert calls < 20_000
    assert peak < 1_000_000
    assert len(found.json) < 64_000
    assert not found.plain


def test_lone_surrogates_do_not_stop_it() -> None:
    assert shown("\ud800 and more")["args"] == ["\\ud800 and more"]


def test_secret_position_is_hidden_by_the_parameter_name() -> None:
    found = capture.arguments(["bob", "hunter2"], {}, ((1, "password"),))
    assert msgspec.json.decode(found.json)["args"] == ["bob", {REDACTED_KEY: "password"}]


def test_secret_by_look_is_hidden_in_the_fast_walk() -> None:
    assert shown("ghp_16C7e42F292c6912E7710c838347Ae178B4a", a="pwd=abcd")["kwargs"] == {
        "a": "pwd=[redacted: secret]"
    }


def test_described_replaces_what_the_caller_hid() -> None:
    found = capture.described("<hidden>", None, capture.arguments([1], {"a": 2}).json)
    assert msgspec.json.decode(found) == {"args": {REPR_KEY: "<hidden>"}, "kwargs": {"a": 2}}


def test_result_is_json() -> None:
    assert capture.result(None) == b"null"
    assert capture.result({"token": "abc", "n": 1}) == b'{"token":{"~redacted":"token"},"n":1}'


def test_message_of_an_exception_is_redacted_and_short() -> None:
    message = capture.exception_message(ValueError("password=hunter2 " + "x" * 10_000_000))
    assert "hunter2" not in message
    assert len(message) < 3000


def test_message_of_a_hostile_exception_runs_nothing() -> None:
    class Loud(Exception):
        def __str__(self) -> NoReturn:
            raise RuntimeError("called")

    assert capture.exception_message(Loud(Hostile())) == f'["<{__name__}.Hostile>"]'


def test_traceback_keeps_its_beginning_and_its_end() -> None:
    text = capture.traceback("begin\n" + "x" * 1_000_000 + "\nend token=abcdef1234")
    assert text.startswith("begin")
    assert text.endswith("end token=[redacted: secret]")
    assert "characters left out" in text
    assert len(text) < 20_000


def test_fits_stops_early() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert not capture.fits(loop, 1000)
    assert capture.fits({"a": [1, "b"]}, 1000)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=30,
)


@given(st.lists(values, max_size=5), st.dictionaries(st.text(), values, max_size=5))
def test_anything_becomes_bounded_json(args: list[Any], kwargs: dict[str, Any]) -> None:
    found = capture.arguments(args, kwargs)
    assert set(json.loads(found.json)) == {"args", "kwargs"}
    if found.plain:
        assert json.loads(json.dumps([args, kwargs])) == msgspec.json.decode(
            msgspec.json.encode([args, kwargs])
        )
