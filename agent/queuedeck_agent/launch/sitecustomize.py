# SPDX-License-Identifier: Apache-2.0
"""`queuedeck-agent run` puts this folder first on PYTHONPATH: Python imports this at its start.

It loads the application's own `sitecustomize`, which it hides, and then the agent.
"""

import importlib
import os
import sys


def _load_hidden() -> None:
    """Runs the `sitecustomize` that would have been found without us."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - dear to import
    path = [one for one in sys.path if os.path.abspath(one) != here]  # noqa: PTH100
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


try:
    _load_hidden()
finally:
    if os.environ.get("QUEUEDECK_DSN"):
        try:
            importlib.import_module("queuedeck_agent.autoload")
        except Exception as error:  # noqa: BLE001 - the application starts without us
            print(f"Queuedeck is not attached: {error!r}", file=sys.stderr)  # noqa: T201
