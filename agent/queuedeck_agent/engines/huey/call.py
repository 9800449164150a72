# SPDX-License-Identifier: Apache-2.0
"""The arguments of a Huey task: what people may see of them, and the sealed original message."""

from typing import Any

import msgspec

from queuedeck_agent import capture
from queuedeck_agent.agent import Agent
from queuedeck_agent.overrides import Hidden, hidden_in
from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES

_MAX_CACHED_TASKS = 4096
_FIELD_BYTES = 512
"""Room for the fields beside the message."""


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    queue: str
    message: bytes
    """As Huey's own serializer wrote it, with its compression and signature."""
    linked: bool = False
    """The original had a pipeline, an error handler or a chord; a retry does not repeat them."""


_encode = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(SealedCall).decode
"""The call again; raises `msgspec.DecodeError` when it is not one of Huey's."""


class Arguments:
    """Captures and seals for one source."""

    def __init__(self, agent: Agent, source: str) -> None:
        self.agent = agent
        self.source = source
        self.wanted = agent.config.capture_args
        self._hidden: dict[type[Any], Hidden] = {}

    def take(self, name: str, task: Any, queue: str, message: bytes) -> tuple[bytes, bytes]:
        """(redacted JSON, sealed call); either may be empty."""
        return self.show(task), self.seal(name, task, queue, message)

    def show(self, task: Any) -> bytes:
        """Redacted JSON."""
        if not self.wanted:
            return b""
        return capture.arguments(task.args, task.kwargs, self.hidden_in(task)).json

    def hidden_in(self, task: Any) -> Hidden:
        """What is hidden in the calls of this task's class."""
        return self.hidden_of(type(task))

    def hidden_of(self, kind: type[Any]) -> Hidden:
        """Remembered for each class of tasks."""
        hidden = self._hidden.get(kind)
        if hidden is None:
            hidden = hidden_in(function_of(kind), f"{kind.__module__}.{kind.__name__}")
            if len(self._hidden) < _MAX_CACHED_TASKS:
                self._hidden[kind] = hidden
        return hidden

    def seal(self, name: str, task: Any, queue: str, message: bytes) -> bytes:
        """The sealed call, nothing when it is over the limit."""
        if not self.wanted or not message or len(message) > MAX_PLAINTEXT_BYTES - _FIELD_BYTES:
            return b""
        call = _encode(SealedCall(queue, message, _is_linked(task)))
        return self.reseal(name, task.id, call)

    def reseal(self, name: str, task_id: str, call: bytes) -> bytes:
        """The same call under another task's id."""
        agent = self.agent
        return agent.seals.seal(agent.project, self.source, name, task_id, call)


def function_of(kind: type[Any]) -> Any:
    """The function that a task class runs: it is in the closure of its `execute`."""
    execute = getattr(kind, "execute", None)
    code = getattr(execute, "__code__", None)
    cells = getattr(execute, "__closure__", None) or ()
    names = getattr(code, "co_freevars", ())
    return next((c.cell_contents for n, c in zip(names, cells, strict=False) if n == "func"), None)


def _is_linked(task: Any) -> bool:
    return bool(
        task.on_complete is not None
        or task.on_error is not None
        or getattr(task, "chord_config", None) is not None
    )
