# SPDX-License-Identifier: Apache-2.0
"""The arguments of an arq job: what people may see of them, the stamp, and the sealed original.

arq's message is a dictionary that its workers read by key, so ours does not disturb them. It is
added where the serializer is known to take any dictionary: pickle, msgpack, and their kin.
"""

import pickle
from collections.abc import Callable
from typing import Any

import msgspec

from queuedeck_agent import capture
from queuedeck_agent.agent import Agent
from queuedeck_agent.overrides import Hidden, hidden_in
from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES

STAMP = "queuedeck"
"""Our key of the message: {"c": 1 if the arguments were reported, "s": 1 if they were sealed, "p":
parent, "r": root}."""

_MAX_CACHED_NAMES = 4096
_FIELD_BYTES = 512
_OPEN = frozenset({"_pickle", "pickle", "dill", "cloudpickle", "msgpack", "ormsgpack"})
"""Where serializers come from that take any dictionary."""

Serializer = Callable[[dict[str, Any]], bytes]


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    queue: str
    message: bytes
    """As the application's own serializer wrote it."""


_encode = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(SealedCall).decode
"""The call again; raises `msgspec.DecodeError` when it is not one of arq's."""


class Functions:
    """What this process knows of the functions behind the names."""

    def __init__(self) -> None:
        self.hidden: dict[str, Hidden] = {}

    def learn(self, name: str, coroutine: Any) -> None:
        """By `func(...)`, which a sender may share with its workers, and by the worker itself."""
        if name not in self.hidden and len(self.hidden) < _MAX_CACHED_NAMES:
            # The context comes first, and is no argument of the caller's.
            function = getattr(coroutine, "queuedeck_original", coroutine)
            self.hidden[name] = hidden_in(function, name, skip=1)

    @property
    def names(self) -> "list[str]":
        """Of all functions that are known here."""
        return list(self.hidden)

    def hidden_in(self, name: str) -> Hidden:
        """Only what the setting says while the function is not known here."""
        known = self.hidden.get(name)
        return hidden_in(None, name) if known is None else known


class Arguments:
    """Captures and seals for one source."""

    def __init__(self, agent: Agent, source: str, functions: Functions) -> None:
        self.agent = agent
        self.source = source
        self.functions = functions
        self.wanted = agent.config.capture_args

    def show(self, name: str, args: Any, kwargs: Any) -> bytes:
        """Redacted JSON."""
        if not self.wanted:
            return b""
        return capture.arguments(args, kwargs, self.functions.hidden_in(name)).json

    def show_sent(self, name: str, args: Any, kwargs: Any) -> bytes:
        """The same, nothing where only the worker can tell which argument is a password."""
        if args and name not in self.functions.hidden:
            return b""
        return self.show(name, args, kwargs)

    def seal(self, name: str, job_id: str, queue: str, message: bytes) -> bytes:
        """The sealed call, nothing when it is over the limit."""
        if not self.wanted or not message or len(message) > MAX_PLAINTEXT_BYTES - _FIELD_BYTES:
            return b""
        agent = self.agent
        call = _encode(SealedCall(queue, message))
        return agent.seals.seal(agent.project, self.source, name, job_id, call)


def stamping(serializer: Serializer | None, stamp: "dict[str, Any]") -> Serializer | None:
    """The serializer that adds our key, or the application's own where that may not bear it."""
    module = str(getattr(serializer, "__module__", "") or "").partition(".")[0]
    if serializer is not None and module not in _OPEN:
        return serializer
    write: Serializer = serializer or pickle.dumps
    return lambda message: write({**message, STAMP: stamp})


def stamp_in(message: Any) -> "dict[str, Any]":
    """Our key of a message that was read."""
    try:
        found = message.get(STAMP)
    except Exception:  # noqa: BLE001 - an application's own deserializer gives what it likes
        return {}
    return found if isinstance(found, dict) else {}
