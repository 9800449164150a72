# SPDX-License-Identifier: AGPL-3.0-only
"""From runs and samples to figures: medians, and 95 % intervals of them."""

import random
import statistics
from typing import Any, NamedTuple

from benchmarks.overhead.runs import Run
from benchmarks.overhead.timers import CALL, STEP, Sample

RESAMPLES = 10_000


class Timed(NamedTuple):
    """The hooks of one run. Tasks of the warm-up are not in it, as in the other figures."""

    samples: list[Sample]
    firsts: list[int]
    """The first start of a task in each process, in nanoseconds: it takes a lane, and maps it."""


def of_workers(bare: list[Run], attached: list[Run]) -> dict[str, Any]:
    """The whole worker, in pairs."""
    plain = [run.cpu.worker_us for run in bare]
    ours = [run.cpu.worker_us for run in attached]
    pairs = [b / a for a, b in zip(plain, ours, strict=True)]
    more = [b - a for a, b in zip(plain, ours, strict=True)]
    children = [b.cpu.children_us - a.cpu.children_us for a, b in zip(bare, attached, strict=True)]
    low, high = _interval(pairs)
    more_low, more_high = _interval(more)
    return {
        "bare_us_per_task": round(statistics.median(plain), 1),
        "agent_us_per_task": round(statistics.median(ours), 1),
        "added_us_per_task": round(statistics.median(more), 1),
        "added_low": round(more_low, 1),
        "added_high": round(more_high, 1),
        "added_in_children_us": round(statistics.median(children), 1),
        "ratio": round(statistics.median(pairs), 3),
        "ratio_low": round(low, 3),
        "ratio_high": round(high, 3),
        "memory_mb": {
            "before": [run.before_mb[0] for run in attached],
            "after": [run.after_mb[0] for run in attached],
            "anonymous_before": [run.before_mb[1] for run in attached],
            "anonymous_after": [run.after_mb[1] for run in attached],
        },
        "link_us": round(statistics.median(run.cpu.link_us for run in attached), 1),
    }


def of_hooks(tasks: int, link_us: float, runs: list[Timed]) -> dict[str, Any]:
    """What the hooks take a task, and one by one."""
    each = [_by_name(run.samples) for run in runs]
    per_task = [sum(map(sum, one.values())) / tasks for one in each]
    walls = sorted(
        sample.wall for run in runs for sample in run.samples if sample.name not in (CALL, STEP)
    )
    hook_us = statistics.median(per_task)
    names = sorted(set[str]().union(*each))
    sums = {name: [sum(one.get(name, ())) / tasks for one in each] for name in names}
    calls = {name: [value for one in each for value in one.get(name, ())] for name in names}
    return {
        "hook_us": round(hook_us, 1),
        "hook_us_runs": [round(one, 1) for one in per_task],
        "hook_and_link_us": round(hook_us + link_us, 1),
        "hook_p50_us": _at(walls, 0.5),
        "hook_p99_us": _at(walls, 0.99),
        "first_hook_us": _at(sorted(one for run in runs for one in run.firsts), 0.5),
        "hooks_us": {name: round(statistics.median(some), 1) for name, some in sums.items()},
        "hooks_p50_us": {name: round(statistics.median(some), 1) for name, some in calls.items()},
        "hooks_p20_us": {
            name: round(sorted(some)[len(some) // 5], 1) for name, some in calls.items()
        },
    }


def _by_name(samples: list[Sample]) -> dict[str, list[float]]:
    """What each call took, without the timer. The lesser of the two clocks: on the wall's the hook
    may have waited for the core, the CPU's takes a system call that the wall's does not see."""
    found: dict[str, list[float]] = {}
    costs = {kind: _cost([one for one in samples if one.name == kind]) for kind in (CALL, STEP)}
    for one in samples:
        if one.name in costs:
            continue
        wall, cpu = costs[STEP if one.name.startswith("step ") else CALL]
        took = max(0, min(one.wall - wall, one.cpu - cpu)) / 1_000
        found.setdefault(one.name, []).append(took)
    return found


def _cost(samples: list[Sample]) -> tuple[int, int]:
    """What timing nothing took in the same worker: nanoseconds of wall and CPU, medians."""
    if not samples:
        return 0, 0
    walls, cpus = (sorted(times) for times in zip(*((s.wall, s.cpu) for s in samples), strict=True))
    return walls[len(walls) // 2], cpus[len(cpus) // 2]


def _at(ordered_ns: list[int], part: float) -> float:
    return round(ordered_ns[int(len(ordered_ns) * part)] / 1_000, 1) if ordered_ns else 0.0


def _interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    chooser = random.Random(1)
    medians = sorted(
        statistics.median(chooser.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]
