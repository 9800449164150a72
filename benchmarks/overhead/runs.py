# SPDX-License-Identifier: AGPL-3.0-only
"""One run of one worker: what its processes and the agent's threads use while tasks run."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import redis
from benchmarks.overhead import timers
from benchmarks.overhead.engines import ENGINES, Engine, is_drained, release
from benchmarks.overhead.serving import Served
from benchmarks.overhead.task import BROKER
from benchmarks.overhead.worker import AGENT_THREAD

WARM_UP_TASKS = 200
SETTLE_S = 1.0
"""After the last task: the link ships, in bare runs the worker idles as long."""
PATIENCE_S = 300
AGENT = [str(Path(sys.executable).parent / "queuedeck-agent"), "run", "--"]
_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """CPU so far, in microseconds."""

    worker_us: float
    """All of it: main process, children, the agent's threads."""
    link_us: float
    """The agent's threads."""
    children_us: float


class Run(NamedTuple):
    """What one run used, CPU in microseconds a task."""

    cpu: Used
    began_ns: int
    before_mb: tuple[float, float]
    """Memory of the worker's processes before the tasks: (all, without what files hold)."""
    after_mb: tuple[float, float]


class Plan(NamedTuple):
    """What all runs of a benchmark have in common."""

    served: Served

    engine: str
    tasks: int
    slots: int
    producer: str
    folder: Path


def run(plan: Plan, *, number: int, attached: bool, inside: bool = False) -> Run:
    """One worker from its start to its end; only the tasks after the warm-up are measured, and
    what the link does until the server has them."""
    engine = ENGINES[plan.engine]
    dsn = plan.served.dsn if attached else ""
    folder = plan.folder / str(number)
    folder.mkdir()
    client = redis.Redis.from_url(BROKER)
    client.flushdb()
    environment = _environment(plan, folder, dsn, inside)
    arrives = plan.served.answers and attached
    stored = plan.served.stored() if arrives else 0
    worker = _start(plan, engine, folder, environment, attached=attached)
    try:
        _stage(plan, environment, dsn, WARM_UP_TASKS)
        _release(client, engine, folder, WARM_UP_TASKS)
        if arrives:
            _wait(lambda: plan.served.stored() >= stored + WARM_UP_TASKS, PATIENCE_S)
        _stage(plan, environment, dsn, plan.tasks)
        began_ns, before_mb, before = time.perf_counter_ns(), _memory_mb(worker.pid), _used(worker)
        _release(client, engine, folder, WARM_UP_TASKS + plan.tasks)
        if arrives:
            _wait(lambda: plan.served.stored() >= stored + WARM_UP_TASKS + plan.tasks, PATIENCE_S)
        after, after_mb = _used(worker), _memory_mb(worker.pid)
    finally:
        worker.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(30)
        worker.kill()
        client.close()
    each = ((end - begin) / plan.tasks for begin, end in zip(before, after, strict=True))
    return Run(Used(*each), began_ns, before_mb, after_mb)


def hooks(plan: Plan, number: int, began_ns: int) -> tuple[list[timers.Sample], list[int]]:
    """(samples of the measured tasks, how long the first start in each process took)."""
    found: list[timers.Sample] = []
    firsts: list[int] = []
    for samples in timers.read(plan.folder / str(number)):
        found += [one for one in samples if one.began >= began_ns]
        starts = [one.wall for one in samples if one.name == ENGINES[plan.engine].first]
        firsts += starts[:1]
    return found, firsts


def _start(
    plan: Plan, engine: Engine, folder: Path, environment: dict[str, str], *, attached: bool
) -> "subprocess.Popen[bytes]":
    words = [word.format(slots=plan.slots) for word in engine.command]
    ours = [sys.executable, "-m", "benchmarks.overhead.worker", plan.engine, *words]
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [*(AGENT if attached else []), *ours], env=environment, stdout=log, stderr=log
        )


def compile_all(folder: Path) -> None:
    """Makes the bytecode of our own modules, as an installation does: a worker that has to compile
    them keeps more memory, which each fork pays for."""
    here = Path(__file__).parents[2]
    places = [str(here / name) for name in ("agent", "benchmarks")]
    command = [sys.executable, "-m", "compileall", "-q", *places]
    subprocess.run(command, env=_with_bytecode(folder), check=True)


def _with_bytecode(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def _environment(plan: Plan, folder: Path, dsn: str, inside: bool) -> dict[str, str]:
    marks = (WARM_UP_TASKS, WARM_UP_TASKS + plan.tasks)
    return {
        **_with_bytecode(plan.folder),
        "QUEUEDECK_DSN": dsn,
        "QUEUEDECK_SPOOL": str(folder / "spool"),
        "BENCH_FOLDER": str(folder),
        "BENCH_MARKS": ",".join(map(str, marks)),
        "BENCH_TIMED": "1" if inside else "",
        "C_FORCE_ROOT": "1",
    }


def _stage(plan: Plan, environment: dict[str, str], dsn: str, count: int) -> None:
    """Publishes into a queue that nobody consumes, by a process of its own."""
    attached = plan.producer == "attached" and bool(dsn)
    mine = {**environment, "BENCH_QUEUE": "staged", "QUEUEDECK_DSN": dsn if attached else ""}
    command = [sys.executable, "-m", "benchmarks.overhead.publish"]
    subprocess.run(
        [*(AGENT if attached else []), *command, ENGINES[plan.engine].module, str(count)],
        env=mine,
        check=True,
        capture_output=True,
    )


def _release(client: Any, engine: Engine, folder: Path, count: int) -> None:
    """Hands over all staged tasks, waits for the last and lets things settle."""
    release(client, engine)
    if engine.drained:
        _wait(lambda: is_drained(client, engine), PATIENCE_S)
    else:
        _wait((folder / f"ran-{count}").exists, PATIENCE_S)
    time.sleep(SETTLE_S)


def _used(worker: "subprocess.Popen[bytes]") -> Used:
    family = _family(worker.pid)
    total = ours = children = 0.0
    for pid in family:
        for thread in _threads_of(pid):
            used = _thread_us(pid, thread)
            total += used
            ours += used if _name_of(pid, thread) == AGENT_THREAD else 0.0
            children += used if pid != worker.pid else 0.0
        reaped = _reaped_us(pid)
        total += reaped
        children += reaped
    return Used(total, ours, children)


def _threads_of(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return []


def _thread_us(pid: int, thread: int) -> float:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
        return int(text.split()[0]) / 1_000
    return 0.0


def _name_of(pid: int, thread: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
    return ""


def _reaped_us(pid: int) -> float:
    """Of children that have ended and were waited for: the horses of RQ."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) * _TICK_US
    return 0.0


def _family(pid: int) -> list[int]:
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                found += _family(int(child))
    return found


def _memory_mb(pid: int) -> tuple[float, float]:
    """What all processes of the worker hold, pages that they share counted once: (all, without
    the pages of files, of which the spool is one)."""
    total = anonymous = 0
    for one in _family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("Pss:") else 0
                anonymous += int(line.split()[1]) if line.startswith("Pss_Anon:") else 0
    return round(total / 1024, 1), round(anonymous / 1024, 1)


def _wait(check: Callable[[], object], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not check():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
