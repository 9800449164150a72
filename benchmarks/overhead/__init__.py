# SPDX-License-Identifier: AGPL-3.0-only
"""What the agent costs a worker of each engine: `python -m benchmarks.overhead --engine rq`.

`__main__` runs and prints, `runs` measures one worker, `figures` makes the figures, `serving` is
the other end. Inside the worker: `worker` starts it, `timers` time our hooks, `task` is what it
runs. `engines` and one `*_app` each say what differs between engines.
"""
