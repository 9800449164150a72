# SPDX-License-Identifier: AGPL-3.0-only
"""A server as gunicorn with --preload: the application is loaded, then workers are forked.

Arguments: module:factory, port, number of workers. Each worker ends with SIGTERM, as the master.
"""

import importlib
import os
import signal
import sys
from wsgiref.simple_server import make_server


def main(place, port, workers):
    sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module, _, factory = place.partition(":")
    app = getattr(importlib.import_module(module), factory)()
    server = make_server("127.0.0.1", int(port), app)
    children = []
    for _ in range(int(workers)):
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            server.serve_forever()
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(one, signal.SIGTERM) for one in children])
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
