# SPDX-License-Identifier: AGPL-3.0-only
"""`python -m benchmarks.overhead --engine rq --tasks 2000` prints one line of JSON.

Bare and attached runs are interleaved in pairs; further runs, timed inside, give hook and link
apart.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.overhead import figures, runs, serving
from benchmarks.overhead.engines import ENGINES
from benchmarks.overhead.figures import Timed
from benchmarks.overhead.runs import Plan, Run


def main() -> None:
    """Runs it all and prints the figures."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="queuedeck-bench-") as name:
        folder = Path(name)
        load = os.getloadavg()[0]
        runs.compile_all(folder)
        with serving.server(folder, options.server) as served:
            which = (options.engine, options.tasks, options.slots, options.producer, folder)
            found = _measured(Plan(served, *which), options)
    asked = {"engine": options.engine, "server": options.server, "producer": options.producer}
    asked |= {"tasks": options.tasks, "pairs": options.pairs}
    asked |= {"load": [round(load, 1), round(os.getloadavg()[0], 1)]}
    sys.stdout.write(json.dumps(asked | found) + "\n")


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="celery")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--timed", type=int, default=3, help="runs timed inside the worker")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--server", choices=serving.MODES, default="up")
    parser.add_argument(
        "--producer",
        choices=["bare", "attached"],
        default="attached",
        help="whether the sender has the agent, as we recommend; without it arguments are captured "
        "in the worker. The hooks are timed with the other one as well",
    )
    return parser.parse_args()


def _measured(plan: Plan, options: Any) -> dict[str, Any]:
    numbers = itertools.count()
    bare: list[Run] = []
    attached: list[Run] = []
    for pair in range(options.pairs):
        _progress(f"pair {pair + 1} of {options.pairs}")
        both = [(bare, False), (attached, True)]
        for into, one in both if pair % 2 == 0 else reversed(both):
            into.append(runs.run(plan, number=next(numbers), attached=one))
    found = figures.of_workers(bare, attached)
    if ENGINES[plan.engine].forks or not options.timed:
        return found
    found |= figures.of_hooks(plan.tasks, found["link_us"], _timed(plan, options, numbers)[1])
    other = plan._replace(producer="bare" if plan.producer == "attached" else "attached")
    link_us, timed = _timed(other, options, numbers)
    return found | {
        f"with_{other.producer}_producer": {
            "link_us": round(link_us, 1),
            **figures.of_hooks(plan.tasks, link_us, timed),
        }
    }


def _timed(plan: Plan, options: Any, numbers: Iterator[int]) -> tuple[float, list[Timed]]:
    """What the link took a task, and the hooks, of runs timed inside the worker."""
    links: list[float] = []
    timed: list[Timed] = []
    for number in itertools.islice(numbers, options.timed):
        _progress(f"timed run, {plan.producer} producer")
        one = runs.run(plan, number=number, attached=True, inside=True)
        links.append(one.cpu.link_us)
        timed.append(Timed(*runs.hooks(plan, number, one.began_ns)))
    return statistics.median(links), timed


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
