# SPDX-License-Identifier: AGPL-3.0-only
"""What the agent costs a Celery worker: CPU of all its processes per task, bare and attached.

`python -m benchmarks.overhead --engine celery --tasks 2000` prints one line of JSON. Bare and
attached runs are interleaved in pairs; further runs, timed inside, give hook and link apart.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import redis
from benchmarks.overhead_app import BROKER, Sample, timed

WARM_UP_TASKS = 200
SETTLE_S = 1.0
"""After the last task: the link ships, in bare runs the worker idles as long."""
RESAMPLES = 10_000
AGENT = [str(Path(sys.executable).parent / "queuedeck-agent"), "run", "--"]
TIMER_CALLS = 20_000


class Run(NamedTuple):
    """CPU microseconds per task."""

    worker_us: float
    """All of it: main process, children, the agent's threads."""
    link_us: float
    """Every thread of the main process but its first: a bare prefork worker has no other."""
    children_us: float


class Timed(NamedTuple):
    """The hooks of one run. Tasks of the warm-up are not in it, as in the other figures."""

    samples: dict[str, list[Sample]]
    first: list[Sample]
    """The first start of a task in each child: it takes a lane, and maps it."""


def main() -> None:
    """Runs it all and prints the figures."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="queuedeck-bench-") as name:
        folder = Path(name)
        with _server(folder) as dsn:
            bare: list[Run] = []
            attached: list[Run] = []
            for pair in range(options.pairs):
                _progress(f"pair {pair + 1} of {options.pairs}")
                runs = [(bare, ""), (attached, dsn)]
                for into, one in runs if pair % 2 == 0 else reversed(runs):
                    into.append(_run(folder, one, options, inside=False)[0])
            hooks: list[Timed] = []
            for _ in range(options.timed):
                _progress("timed run")
                hooks.append(_timed(folder, dsn, options))
    sys.stdout.write(json.dumps(_figures(options, bare, attached, hooks)) + "\n")


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["celery"], default="celery")
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--timed", type=int, default=3, help="runs timed inside the worker")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument(
        "--producer",
        choices=["bare", "attached"],
        default="bare",
        help="bare: arguments are captured in the worker, the worst case",
    )
    return parser.parse_args()


@contextlib.contextmanager
def _server(folder: Path) -> Generator[str]:
    """A real server with a project; gives the DSN."""
    with contextlib.closing(__import__("socket").socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "QUEUEDECK_DATA": str(folder / "data"), "QUEUEDECK_PORT": str(port)}
    command = [sys.executable, "-m", "queuedeck"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen([*command, "serve"], env=env, stdout=log, stderr=log)
    try:
        _wait(lambda: "error" not in _made(command, env, "projects", "create", "bench"), 30)
        yield _made(command, env, "keys", "create", "bench")["dsn"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(15)


def _made(command: list[str], env: dict[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run([*command, *words, "--json"], env=env, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr}
    return json.loads(done.stdout.splitlines()[-1])


def _run(folder: Path, dsn: str, options: Any, inside: bool) -> tuple[Run, int]:
    """One worker from its start to its end; only the tasks in between are measured. Gives also
    when those began."""
    client = redis.Redis.from_url(BROKER)
    client.flushdb()
    env = _environment(folder, dsn, inside)
    log = (folder / "worker.log").open("w")
    worker = subprocess.Popen(
        [*(AGENT if dsn else []), sys.executable, "-m", "celery", "-A", "benchmarks.overhead_app",
         "worker", "-c", str(options.slots), "-l", "WARNING", "--without-mingle",
         "--without-gossip", "--without-heartbeat"],
        env=env, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        ready = folder / "ready"
        ready.unlink(missing_ok=True)
        _wait(ready.exists, 30)
        _work(client, env, dsn, options, WARM_UP_TASKS)
        _stage(env, dsn, options, options.tasks)
        began_ns = time.perf_counter_ns()
        before = _used(worker.pid)
        _release(client)
        after = _used(worker.pid)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
        log.close()
        client.close()
    worker_us, link_us, children_us = (
        (end - begin) / options.tasks for begin, end in zip(before, after, strict=True)
    )
    return Run(worker_us, link_us, children_us), began_ns


def _environment(folder: Path, dsn: str, inside: bool) -> dict[str, str]:
    env = {**os.environ, "QUEUEDECK_DSN": dsn, "QUEUEDECK_SPOOL": str(folder / "spool")}
    env |= {"BENCH_FOLDER": str(folder), "C_FORCE_ROOT": "1"}
    env.pop("BENCH_TIMED", None)
    return env | {"BENCH_TIMED": "1"} if inside else env


def _work(client: Any, env: dict[str, str], dsn: str, options: Any, count: int) -> None:
    _stage(env, dsn, options, count)
    _release(client)


def _stage(env: dict[str, str], dsn: str, options: Any, count: int) -> None:
    """Publishes into a queue that nobody consumes, by a process of its own."""
    attached = options.producer == "attached"
    mine = {**env, "QUEUEDECK_DSN": dsn if attached else ""}
    mine.pop("BENCH_FOLDER", None)
    command = [sys.executable, "-m", "benchmarks.overhead_app", str(count)]
    launcher = AGENT if attached and dsn else []
    subprocess.run([*launcher, *command], env=mine, check=True, capture_output=True)


def _release(client: Any) -> None:
    """Hands all staged tasks to the worker at once, waits for the last and lets things settle."""
    client.rename("staged", "bench")
    _wait(lambda: not client.llen("bench") and not client.hlen("unacked"), 120)
    time.sleep(SETTLE_S)


def _timed(folder: Path, dsn: str, options: Any) -> Timed:
    """Samples of every hook of one run."""
    for old in folder.glob("hooks-*.json"):
        old.unlink()
    _, began_ns = _run(folder, dsn, options, inside=True)
    found = Timed({}, [])
    for path in folder.glob("hooks-*.json"):
        for name, some in json.loads(path.read_text()).items():
            late = [sample for sample in some if sample[2] >= began_ns]
            found.samples.setdefault(name, []).extend(late)
            if name == "task_prerun" and some:
                found.first.append(some[0])
    return found


def _used(pid: int) -> tuple[float, float, float]:
    """CPU so far: of the whole worker, of the agent's threads, of the children."""
    children = sum(_threads_us(one, _threads_of(one)) for one in _children(pid))
    threads = _threads_of(pid)
    ours = _threads_us(pid, [one for one in threads if one != pid])
    return _threads_us(pid, threads) + children, ours, children


def _threads_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _threads_us(pid: int, threads: list[int]) -> float:
    total = 0
    for thread in threads:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
            total += int(text.split()[0])
    return total / 1_000


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def _figures(
    options: Any, bare: list[Run], attached: list[Run], hooks: list[Timed]
) -> dict[str, Any]:
    plain = [run.worker_us for run in bare]
    ours = [run.worker_us for run in attached]
    pairs = [b / a for a, b in zip(plain, ours, strict=True)]
    more = [b - a for a, b in zip(plain, ours, strict=True)]
    in_children = [b.children_us - a.children_us for a, b in zip(bare, attached, strict=True)]
    low, high = _interval(pairs)
    more_low, more_high = _interval(more)
    return {
        "engine": options.engine,
        "producer": options.producer,
        "tasks": options.tasks,
        "pairs": options.pairs,
        "bare_us_per_task": round(statistics.median(plain), 1),
        "agent_us_per_task": round(statistics.median(ours), 1),
        "added_us_per_task": round(statistics.median(more), 1),
        "added_low": round(more_low, 1),
        "added_high": round(more_high, 1),
        "added_in_children_us": round(statistics.median(in_children), 1),
        "ratio": round(statistics.median(pairs), 3),
        "ratio_low": round(low, 3),
        "ratio_high": round(high, 3),
        **_hook_figures(options, attached, hooks),
    }


def _hook_figures(options: Any, attached: list[Run], hooks: list[Timed]) -> dict[str, Any]:
    timer = _timer_ns()
    each = [{name: _cpu_us(some, timer) for name, some in one.samples.items()} for one in hooks]
    per_task = [sum(map(sum, one.values())) / options.tasks for one in each]
    walls = sorted(sample[0] for one in hooks for some in one.samples.values() for sample in some)
    firsts = [sample[0] for one in hooks for sample in one.first]
    link_us = statistics.median(run.link_us for run in attached)
    hook_us = statistics.median(per_task) if per_task else 0.0
    names = each[0] if each else {}
    return {
        "hook_us": round(hook_us, 1),
        "link_us": round(link_us, 1),
        "hook_and_link_us": round(hook_us + link_us, 1),
        "hook_p50_us": _at(walls, 0.5),
        "hook_p99_us": _at(walls, 0.99),
        "first_hook_us": _at(sorted(firsts), 0.5),
        "hooks_us": {
            name: round(statistics.median(sum(one[name]) / options.tasks for one in each), 1)
            for name in names
        },
        "hooks_p50_us": {
            name: round(statistics.median(value for one in each for value in one[name]), 1)
            for name in names
        },
    }


def _cpu_us(samples: list[Sample], timer: tuple[int, int]) -> list[float]:
    """What each call took, without the timer. The lesser of the two clocks: on the wall's the hook
    may have waited for the core, the CPU's takes a system call that the wall's does not see."""
    return [min(wall - timer[0], cpu - timer[1]) / 1_000 for wall, cpu, _ in samples]


def _at(ordered_ns: list[int], part: float) -> float:
    return round(ordered_ns[int(len(ordered_ns) * part)] / 1_000, 1) if ordered_ns else 0.0


def _timer_ns() -> tuple[int, int]:
    """What a timed call costs beyond the call, by each clock."""
    samples: list[Sample] = []
    call = timed(lambda: None, samples)
    for _ in range(TIMER_CALLS):
        call()
    walls, cpus, _ = zip(*samples, strict=True)
    return int(statistics.median(walls)), int(statistics.median(cpus))


def _interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    chooser = random.Random(1)
    medians = sorted(
        statistics.median(chooser.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]


def _wait(check: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
