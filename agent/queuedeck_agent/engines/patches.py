# SPDX-License-Identifier: Apache-2.0
"""Puts our step around a method of an engine that has no hook for it, and takes it away again."""

import functools
from collections.abc import Callable
from typing import Any

Method = Callable[..., Any]


class Patches:
    """What one adapter has wrapped. Signature, name and text of a method stay as they were."""

    def __init__(self) -> None:
        self._done: list[tuple[type[Any], str, Any]] = []

    def wrap(self, owner: type[Any], name: str, make: Callable[[Method], Method]) -> bool:
        """Replaces a method that the class itself defines by `make(method)`; False without one.

        Another version of the engine may have it in another class, or not at all.
        """
        raw = vars(owner).get(name)
        original: Method | None = raw
        if isinstance(raw, property):
            original = raw.fget
        elif isinstance(raw, classmethod):
            original = raw.__func__
        if original is None:
            return False
        if hasattr(original, "queuedeck_original"):
            return True
        wrapped = functools.wraps(original)(make(original))
        wrapped.queuedeck_original = original  # type: ignore[attr-defined]
        if isinstance(raw, property):
            setattr(owner, name, raw.getter(wrapped))
        else:
            setattr(owner, name, classmethod(wrapped) if isinstance(raw, classmethod) else wrapped)
        self._done.append((owner, name, raw))
        return True

    def undo(self) -> None:
        """Puts the engine's own methods back."""
        while self._done:
            owner, name, raw = self._done.pop()
            setattr(owner, name, raw)


def unwrapped(method: Method) -> Method:
    """The engine's own method, for what we do ourselves and report ourselves."""
    return getattr(method, "queuedeck_original", method)
