# SPDX-License-Identifier: Apache-2.0
"""What the .pth file and `queuedeck-agent run` start: waits until an engine is imported.

It runs in every Python of the environment, pip and cron included, so it imports next to nothing,
opens nothing, and never raises.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

WATCHED = {
    "celery.signals": "attach_celery",
    "rq.worker": "attach_rq",
    "huey.api": "attach_huey",
    "arq.worker": "attach_arq",
    "dramatiq.broker": "attach_dramatiq",
    "taskiq.abc.broker": "attach_taskiq",
}
"""A module of each engine, and the function of `attachment` that is called after its import."""


class Finder:
    """A meta path finder that finds nothing by itself; it adds a step after some imports."""

    def __init__(self) -> None:
        self.waiting = dict(WATCHED)

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """None for all but the watched modules, each of which is met once."""
        then = self.waiting.pop(name, None)
        if then is None:
            return None
        try:
            spec = _found_by_others(self, name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec, then)  # type: ignore[assignment]
        except Exception:  # noqa: BLE001 - the import goes on as if we were not here
            return None
        return spec


class _Loader:
    """Stands in for the module's own loader during its import, then steps aside."""

    def __init__(self, spec: "ModuleSpec", then: str) -> None:
        self._spec = spec
        self._own: Any = spec.loader
        self._then = then

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        """As the module's own loader does."""
        return self._own.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        """Runs the module, gives it its own loader back, then attaches."""
        self._spec.loader = self._own
        module.__loader__ = self._own
        self._own.exec_module(module)
        _call(self._then)

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)


def install() -> None:
    """Starts to watch, once. An engine that was imported already is attached now."""
    if any(type(one).__name__ == "Finder" and hasattr(one, "waiting") for one in sys.meta_path):
        return
    finder = Finder()
    for name, then in WATCHED.items():
        if name in sys.modules:
            del finder.waiting[name]
            _call(then)
    sys.meta_path.insert(0, finder)


def _found_by_others(
    ours: Finder, name: str, path: "Sequence[str] | None", target: "ModuleType | None"
) -> "ModuleSpec | None":
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if finder is not ours and find is not None:
            spec = find(name, path, target)
            if spec is not None:
                return spec
    return None


def _call(then: str) -> None:
    try:
        from queuedeck_agent import attachment

        getattr(attachment, then)()
    except Exception as error:  # noqa: BLE001 - our mistake must not stop the host's import
        import logging

        logging.getLogger("queuedeck_agent").warning(
            "Queuedeck is not attached: %s: %s. Your application is not affected.",
            type(error).__name__,
            error,
        )


try:
    install()
except Exception as error:  # noqa: BLE001 - this module runs inside site's start of Python
    print(f"Queuedeck is not attached: {error!r}", file=sys.stderr)  # noqa: T201
