# SPDX-License-Identifier: AGPL-3.0-only
"""What is shown and sealed of one call, without a worker."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from benchmarks import payload
from celery.utils.saferepr import saferepr

from queuedeck_agent import capture
from queuedeck_agent.capture_walk import REPR_KEY
from queuedeck_agent.engines.celery import call as celery_call
from queuedeck_agent.engines.celery.arguments import Arguments

LIMIT = 1024
DEEP: dict[str, Any] = {"a": {"b": {"c": {"d": "hidden by depth"}, "e": [1]}, "f": "seen"}}


def _seal(*parts: Any) -> bytes:
    return parts[-1]


def _arguments() -> Arguments:
    config = SimpleNamespace(capture_args=True)
    agent: Any = SimpleNamespace(config=config, seals=SimpleNamespace(seal=_seal), project="p")
    conf = SimpleNamespace(task_serializer="json", accept_content=["json"])
    app: Any = SimpleNamespace(conf=conf, amqp=SimpleNamespace(), tasks={})
    return Arguments(agent, app, "source")


def _taken(args: Any, kwargs: Any, headers: dict[str, Any]) -> tuple[Any, celery_call.SealedCall]:
    """What is shown, and the call that would be sealed."""
    shown, call = _arguments().take("name", "id", args, kwargs, headers, {}, None)
    return msgspec.json.decode(shown), celery_call.unpack(call)


def _texts(args: Any, kwargs: Any) -> dict[str, Any]:
    return {"argsrepr": saferepr(args, LIMIT), "kwargsrepr": saferepr(kwargs, LIMIT)}


CALLS = [
    pytest.param([], {}, id="nothing"),
    pytest.param(["one"], {}, id="one"),
    pytest.param([None, True, False, 1.5, -3], {"None": None}, id="constants"),
    pytest.param(payload.ARGS, payload.KWARGS, id="standard"),
    pytest.param([], DEEP, id="deep"),
    pytest.param([[[[1]], [[1]]]], {"x": {}}, id="deep, twice the same"),
    pytest.param(["it's", 'a "b"', "a\\b", "a\nb", "Grüße"], {"k'": "v"}, id="quoted"),
    pytest.param(["x" * 2000], {}, id="long"),
    pytest.param(["..."], {"null": "None"}, id="marks"),
]


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
@pytest.mark.parametrize("as_sent", [tuple, list])
def test_celerys_own_texts_hide_nothing(args: Any, kwargs: Any, as_sent: Any) -> None:
    shown, call = _taken(args, kwargs, _texts(as_sent(args), kwargs))
    assert REPR_KEY not in str(shown)
    assert (call.argsrepr, call.kwargsrepr) == (None, None)


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_sealed_body_is_what_celery_would_send(args: Any, kwargs: Any) -> None:
    _, call = _taken(args, kwargs, _texts(args, kwargs))
    plain = capture.arguments(args, kwargs).plain
    assert call.body == celery_call.serialise(args, kwargs, plain, "json", False)[2]
    assert msgspec.json.decode(call.body)[:2] == [args, kwargs]


HIDDEN = [
    pytest.param(["anna", "s3cr3t"], {}, "('anna', '***')", "{}", id="one argument"),
    pytest.param([], {"pin": "1234"}, "()", "{'pin': ''}", id="emptied"),
    pytest.param([], {"pin": {"n": "1234"}}, "()", "{'pin': {...}}", id="as if too deep"),
    pytest.param(["s3cr3t"], {}, "('...',)", "{}", id="points"),
    pytest.param(["s3cr3t"], {"a": 1}, "('s3cr3t',)", "<hidden>", id="only the keywords"),
    pytest.param([], {"a": {"b": {"c": [1]}}}, "()", "{'a': {...}}", id="above the depth"),
]


@pytest.mark.parametrize(("args", "kwargs", "args_text", "kwargs_text"), HIDDEN)
def test_callers_text_stands_for_what_it_hides(
    args: Any, kwargs: Any, args_text: str, kwargs_text: str
) -> None:
    headers = {"argsrepr": args_text, "kwargsrepr": kwargs_text}
    shown, call = _taken(args, kwargs, headers)
    assert REPR_KEY in str(shown)
    assert "s3cr3t" not in str(shown["args"]) or call.argsrepr is None
    assert call.argsrepr == args_text or call.kwargsrepr == kwargs_text


def test_original_never_leaves_unsealed() -> None:
    shown, _ = _arguments().take(
        "name", "id", payload.ARGS, payload.KWARGS, _texts(payload.ARGS, payload.KWARGS), {}, None
    )
    assert payload.SECRET.encode() not in shown
