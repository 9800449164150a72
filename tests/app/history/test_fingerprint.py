# SPDX-License-Identifier: AGPL-3.0-only
"""Which failures are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuedeck.history.fingerprint import MESSAGE_CHARS, fingerprint, normal_message

LIBRARY = (
    '  File "/venv/lib/python3.12/site-packages/celery/app/trace.py", line {}, in trace\n    r()\n'
)
OWN = '  File "{}/billing/payments.py", line {}, in capture\n    psp.capture()\n'
INNER = '  File "/venv/lib/python3.12/site-packages/httpx/_client.py", line {}, in post\n    x()\n'
HEAD = "Traceback (most recent call last):\n"


def trace(*frames, end="shop.GatewayTimeout: too late\n"):
    return HEAD + "".join(frames) + end


ONE = trace(LIBRARY.format(1), OWN.format("/srv/a", 88), INNER.format(5))


@pytest.mark.parametrize(
    ("message", "normal"),
    [
        ("order 481884: the bank declined 12.50", "order {n}: the bank declined {n}"),
        ("no task 0b7c2e5a-1111-4222-8333-123456789abc", "no task {id}"),
        ("<Thing object at 0x7f3a9c>", "<Thing object at {hex}>"),
        ("commit deadbeef01 is missing", "commit {hex} is missing"),
        ("can't open 'a b.csv' for \"Ann\"", "can't open {text} for {text}"),
        ("no user ann@example.com", "no user {email}"),
        ("timed out at 14:02:11, after 10,5 s", "timed out at {n}, after {n} s"),
        ("first line\nsecond line", "first line"),
        ("the facade is old", "the facade is old"),
        ("", ""),
    ],
)
def test_messages_lose_what_differs_each_time(message, normal):
    assert normal_message(message) == normal


def test_same_place_and_words_are_the_same_failure():
    other = trace(LIBRARY.format(7), OWN.format("/srv/b", 90), INNER.format(9))
    assert fingerprint("E", "order 1", ONE) == fingerprint("E", "order 22", other)


@pytest.mark.parametrize(
    ("exception", "message", "traceback"),
    [
        ("Other", "order 1", ONE),
        ("E", "customer 1", ONE),
        ("E", "order 1", ONE.replace("in capture", "in refund")),
        ("E", "order 1", ""),
    ],
    ids=["type", "words", "function", "no traceback"],
)
def test_other_type_words_or_place_is_another_failure(exception, message, traceback):
    known = fingerprint("E", "order 1", ONE).number
    assert fingerprint(exception, message, traceback).number != known


def test_frames_of_libraries_do_not_tell_failures_apart():
    without = trace(OWN.format("/srv/a", 88))
    assert fingerprint("E", "", ONE).number == fingerprint("E", "", without).number


def test_the_last_frame_counts_when_none_is_of_the_application():
    found = fingerprint("E", "", trace(LIBRARY.format(1), INNER.format(2)))
    assert found.culprit == "httpx/_client.py in post"


def test_culprit_is_the_innermost_frame_of_the_application():
    assert fingerprint("E", "", ONE).culprit == "billing/payments.py in capture"


def test_of_a_chain_the_newest_exception_with_own_frames_counts():
    """An engine's retry is raised from the failure, by code of the engine alone."""
    chain = ONE + "\nThe above exception was the direct cause of the following exception:\n\n"
    chain += trace(LIBRARY.format(3), INNER.format(4), end="celery.exceptions.Retry: in 3 s\n")
    assert fingerprint("E", "", chain).culprit == "billing/payments.py in capture"


def test_of_a_chain_the_newest_exception_counts():
    chain = trace(OWN.format("/srv", 1)) + "\nDuring handling of the above exception, another\n\n"
    chain += chain.replace("capture", "refund")
    chain += trace('  File "/srv/app/mail.py", line 3, in send\n    x()\n')
    assert fingerprint("E", "", chain).culprit == "app/mail.py in send"


def test_frames_without_a_line_of_code_count():
    bare = trace(OWN.format("/srv/a", 88)).replace("    psp.capture()\n", "")
    assert fingerprint("E", "", bare).culprit == "billing/payments.py in capture"


def test_deep_recursion_counts_once():
    once = fingerprint("E", "", trace(OWN.format("/srv", 1)))
    assert fingerprint("E", "", trace(*[OWN.format("/srv", 1)] * 300)) == once


@given(st.text(), st.text(), st.text())
def test_anything_has_a_fingerprint(exception, message, traceback):
    found = fingerprint(exception, message, traceback)
    assert 0 < found.number < 1 << 63
    assert "\n" not in found.message


@pytest.mark.parametrize(
    "text",
    ["'" * 200_000, "1" * 200_000, "a." * 100_000 + "@", 'File "' * 40_000, "\n  " * 80_000],
    ids=["quotes", "digits", "address", "frames", "spaces"],
)
def test_hostile_input_is_read_only_so_far(text):
    assert len(fingerprint(text, text, text).message) <= MESSAGE_CHARS * 7
