# SPDX-License-Identifier: AGPL-3.0-only
"""The language of the search box: what it means, what it refuses, and that it round-trips."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuedeck.domain.tasks.filters import (
    AMOUNT_KEYS,
    ENGINES,
    MAX_CHARS,
    TIME_FIELD,
    WORD_KEYS,
    parse,
    terms_of,
    to_text,
)
from queuedeck.domain.tasks.reader import FilterInvalid
from queuedeck.history.filters import PathTerm, TaskFilter
from queuedeck.history.ranges import Between, Instant, InstantKind, Period
from queuedeck.history.tasks import TaskState

S, M, H, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
NOV_20 = 1_795_132_800_000_000


def ago(us):
    return Instant(InstantKind.AGO, us)


def clock(us):
    return Instant(InstantKind.CLOCK, us)


def utc(us):
    return Instant(InstantKind.UTC, us)


MEANINGS = {
    "": TaskFilter(),
    "   ": TaskFilter(),
    "send": TaskFilter(texts=("send",)),
    "send mail": TaskFilter(texts=("send", "mail")),
    '"send mail" -later': TaskFilter(texts=("send mail",), not_texts=("later",)),
    '"state:failed"': TaskFilter(texts=("state:failed",)),
    "a-b": TaskFilter(texts=("a-b",)),
    '"-x"': TaskFilter(texts=("-x",)),
    '-"-x"': TaskFilter(not_texts=("-x",)),
    "state:failed": TaskFilter(states=(TaskState.FAILED,)),
    "state:failed,lost": TaskFilter(states=(TaskState.FAILED, TaskState.LOST)),
    "state:failed state:lost": TaskFilter(states=(TaskState.FAILED, TaskState.LOST)),
    "task:app.mail.*": TaskFilter(names=("app.mail.*",)),
    "queue:a,b engine:rq": TaskFilter(queues=("a", "b"), engines=("rq",)),
    'worker:"my worker",w2': TaskFilter(workers=("my worker", "w2")),
    'queue:"say \\"hi\\" \\\\"': TaskFilter(queues=('say "hi" \\',)),
    'label:import*,"a b" -label:x': TaskFilter(labels=("import*", "a b"), not_labels=("x",)),
    "marked:yes": TaskFilter(marked=("yes",)),
    "-marked:yes marked:no": TaskFilter(marked=("no",), not_marked=("yes",)),
    "id:cron:nightly:1": TaskFilter(ids=("cron:nightly:1",)),
    "root:r-1 source:0123456789ab": TaskFilter(roots=("r-1",), sources=("0123456789ab",)),
    "release:1.9.* error:TimeoutError": TaskFilter(releases=("1.9.*",), errors=("TimeoutError",)),
    "group:0A00000000000b0c,1111111111111111": TaskFilter(
        groups=("0a00000000000b0c", "1111111111111111")
    ),
    "-group:0a00000000000b0c": TaskFilter(not_groups=("0a00000000000b0c",)),
    "-state:succeeded": TaskFilter(not_states=(TaskState.SUCCEEDED,)),
    "-task:a.*,b -queue:low": TaskFilter(not_names=("a.*", "b"), not_queues=("low",)),
    "-worker:w1 -id:x -engine:rq": TaskFilter(
        not_workers=("w1",), not_ids=("x",), not_engines=("rq",)
    ),
    "mail state:queued now": TaskFilter(texts=("mail", "now"), states=(TaskState.QUEUED,)),
    "wait:>30s": TaskFilter(waits=(Between(30 * S + 1),)),
    "wait:>=30s wait:<5m": TaskFilter(waits=(Between(30 * S, 5 * M - 1),)),
    "-wait:>1m -wait:<1s": TaskFilter(not_waits=(Between(M + 1), Between(None, S - 1))),
    "runtime:1.5s..4m02s": TaskFilter(runtimes=(Between(1_500_000, 242 * S),)),
    "runtime:<1s,>1h": TaskFilter(runtimes=(Between(None, S - 1), Between(H + 1))),
    "retries:2": TaskFilter(retries=(Between(2, 2),)),
    "retries:>2": TaskFilter(retries=(Between(3),)),
    "-retries:0": TaskFilter(not_retries=(Between(0, 0),)),
    "at:2h": TaskFilter(times=(Period(ago(2 * H)),)),
    "at:2h..30m": TaskFilter(times=(Period(ago(2 * H), ago(30 * M)),)),
    "at:..now-1d": TaskFilter(times=(Period(None, ago(DAY)),)),
    "at:14:00..15:30": TaskFilter(times=(Period(clock(14 * H), clock(15 * H + 30 * M)),)),
    "at:14:00": TaskFilter(times=(Period(clock(14 * H), clock(14 * H + M)),)),
    "at:2026-11-20": TaskFilter(times=(Period(utc(NOV_20), utc(NOV_20 + DAY)),)),
    "at:2026-11-19..2026-11-20": TaskFilter(times=(Period(utc(NOV_20 - DAY), utc(NOV_20 + DAY)),)),
    "at:2026-11-20T02:00+02:00..now": TaskFilter(times=(Period(utc(NOV_20), ago(0)),)),
    "at:>2026-11-19": TaskFilter(times=(Period(utc(NOV_20)),)),
    "at:<2026-11-20T00:00:01.5Z": TaskFilter(times=(Period(None, utc(NOV_20 + 1_500_000)),)),
    "args.user.id:5,6": TaskFilter(paths=(PathTerm("args", ("user", "id"), ("5", "6")),)),
    "-result.*.ok:true": TaskFilter(paths=(PathTerm("result", ("*", "ok"), ("true",), True),)),
    'args.x:">5" args:SO-*': TaskFilter(
        paths=(PathTerm("args", ("x",), (">5",)), PathTerm("args", (), ("SO-*",)))
    ),
}


@pytest.mark.parametrize(("text", "question"), MEANINGS.items(), ids=MEANINGS)
def test_text_means(text, question):
    assert parse(text) == question


MISTAKES = {
    "stat:failed": (0, 4, "did you mean state"),
    "mail foo:bar": (5, 3, "task:, queue:"),
    "mail -foo:bar": (6, 3, "There is no foo:"),
    "https://x.example": (0, 5, "quotes around text"),
    "state:faild": (6, 5, "did you mean failed"),
    "state:failed,gone": (13, 4, "scheduled, queued"),
    'state:failed,"gone"': (13, 6, "scheduled, queued"),
    "engine:sidekiq": (7, 7, "celery, rq"),
    "group:7": (6, 1, "16 hex digits"),
    "mail group:0a00000000000b0*": (11, 16, "16 hex digits"),
    "state:": (6, 0, "has no value"),
    "task:a,": (7, 0, "has no value"),
    'task:""': (5, 2, "has no value"),
    '""': (0, 2, "empty"),
    ":x": (0, 1, "before the colon"),
    "-": (0, 1, "behind the minus"),
    'task:"a': (5, 2, "never closed"),
    'task:"a\\': (5, 3, "never closed"),
    'task:"a"b': (8, 1, "a space or a comma"),
    '"a"b': (3, 1, "a space"),
    'task:a"b"': (6, 1, "quotes around all"),
    "wait:30s": (5, 3, "No two tasks"),
    "wait:>soon": (5, 5, "duration such as"),
    "wait:>3": (5, 2, "duration such as"),
    "wait:5m..1m": (5, 6, "the smaller end first"),
    "wait:<0s": (5, 3, "Nothing is in this range"),
    "wait:..": (5, 2, "duration such as"),
    "wait:>99999999999d": (5, 13, "duration such as"),
    "wait:>5m wait:<1m": (9, 4, "given twice"),
    "retries:many": (8, 4, "number such as"),
    "at:soon": (3, 4, "time such as"),
    "at:25:00": (3, 5, "time such as"),
    "at:2026-02-30": (3, 10, "time such as"),
    "at:2026-11-20T14:00+99:00": (3, 22, "time such as"),
    "at:0001-01-01": (3, 10, "time such as"),
    "at:..": (3, 2, "Both ends"),
    "at:>2h": (3, 3, "2h for the last two hours"),
    "at:1h..2h": (3, 6, "earlier end first"),
    "at:2h at:1h": (6, 2, "given twice"),
    "args..x:1": (0, 7, "path such as"),
    "args.x:>5": (7, 2, "compared as a whole"),
    "x" * (MAX_CHARS + 1): (MAX_CHARS, 1, "too long"),
    "id:" + ",".join("x" * 201): (0, 404, "too many"),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items(), ids=[t[:20] for t in MISTAKES])
def test_mistake_is_refused_with_its_place(text, expected):
    offset, length, advice = expected
    with pytest.raises(FilterInvalid, match=advice) as caught:
        parse(text)
    assert (caught.value.offset, caught.value.length) == (offset, length)
    assert f"At character {offset + 1}" in caught.value.message


def many(values):
    return st.lists(values, max_size=3).map(tuple)


words = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["a,b", 'q"q', "-x", "a b", "\\", "*:", ">1", "a..b"]
)
groups = st.integers(0, 2**63 - 1).map("{:016x}".format)
states = many(st.sampled_from(list(TaskState)))
amounts = st.integers(0, 10**9) | st.integers(0, 10**5).map(lambda n: n * 60_000_000)
betweens = st.tuples(amounts, amounts).flatmap(
    lambda ends: st.sampled_from(
        [Between(min(ends)), Between(None, max(ends)), Between(min(ends), max(ends))]
    )
)
# Numbers of retries have at most nine digits.
few = st.integers(0, 10**8).flatmap(
    lambda n: st.sampled_from([Between(n), Between(None, n), Between(n, n + 2), Between(n, n)])
)
instants = st.one_of(
    st.builds(ago, st.integers(0, 10**12)),
    st.builds(clock, st.integers(0, DAY - 1) | st.integers(0, 1439).map(lambda m: m * M)),
    st.builds(utc, st.integers(0, 10**16) | st.integers(0, 10**5).map(lambda d: d * DAY)),
)


def is_period(when):
    low, high = when.low, when.high
    if low is None or high is None:
        return when != Period()
    fits = {InstantKind.AGO: low.us > high.us, InstantKind.UTC: low.us < high.us}
    return low.kind is not high.kind or fits.get(low.kind, True)


periods = st.builds(Period, st.none() | instants, st.none() | instants).filter(is_period)
steps = st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters='.:"'), min_size=1)
paths = st.builds(PathTerm, st.sampled_from(["args", "result"]), many(steps),
                  st.lists(words, min_size=1, max_size=3).map(tuple), st.booleans())  # fmt: skip
FIELDS = {
    **{prefix + field: many(words) for field in WORD_KEYS.values() for prefix in ("", "not_")},
    **{name: many(betweens) for name in ("waits", "not_waits", "runtimes", "not_runtimes")},
    **{name: many(few) for name in ("retries", "not_retries")},
    **{name: many(periods) for name in ("times", "not_times")},
    **dict.fromkeys(("states", "not_states"), states),
    **{name: many(st.sampled_from(ENGINES)) for name in ("engines", "not_engines")},
    **dict.fromkeys(("groups", "not_groups"), many(groups)),
    **dict.fromkeys(("marked", "not_marked"), many(st.sampled_from(("yes", "no")))),
    "paths": many(paths),
    "texts": many(words),
    "not_texts": many(words),
}
questions = st.builds(TaskFilter, **FIELDS)


@settings(deadline=None)
@given(questions)
def test_text_of_a_question_means_that_question(question):
    assert parse(to_text(question)) == question


@settings(deadline=None)
@given(questions)
def test_terms_are_all_of_the_question_and_each_can_be_left_out(question):
    terms = terms_of(question)
    assert " ".join(text for _, text in terms) == to_text(question)
    for rest, text in terms:
        assert len(to_text(rest)) < len(to_text(question))
        assert parse(f"{to_text(rest)} {text}".strip()) is not None


pieces = st.sampled_from(
    ["state:", "failed", "-", '"', " ", ",", "at:", "14:00", "..", "wait:", ">", "<=", "30s", "2h",
     "2026-11-20", "T", "Z", "args", ".", "x", ":", "\\", "*", "retries:", "9", "task:", "é", "٣"]
)  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=60) | st.lists(pieces, max_size=14).map("".join))
def test_any_text_is_a_question_or_a_mistake_with_a_place(text):
    try:
        question = parse(text)
    except FilterInvalid as mistake:
        assert 0 <= mistake.offset <= mistake.offset + mistake.length <= len(text)
    else:
        assert parse(to_text(question)) == question
        assert bool(text.split()) == (question != TaskFilter())


def test_every_field_of_a_filter_can_be_written():
    fields = {field.name for field in msgspec.structs.fields(TaskFilter)}
    assert fields == set(FIELDS)
    keyed = {*WORD_KEYS.values(), *AMOUNT_KEYS.values(), TIME_FIELD}
    assert fields == keyed | {f"not_{name}" for name in keyed} | {"paths", "texts", "not_texts"}
