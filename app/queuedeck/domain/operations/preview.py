# SPDX-License-Identifier: AGPL-3.0-only
"""What an operation would do, counted task by task: nothing is estimated and nothing is written."""

from collections import Counter

import msgspec

from queuedeck.domain.commands.desk import CommandDesk
from queuedeck.domain.operations import rules
from queuedeck.domain.operations.ability import Abilities
from queuedeck.domain.operations.selection import Ask, read_portion
from queuedeck.history.tasks import SelectedTask

SAMPLED = 100
"""Of each source so many sealed calls are looked at for the key that opens them."""
SEAL_ID_CHARS = 8


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that are alike and would be treated alike."""

    engine: str
    source_name: str
    queue: str
    state: str
    count: int


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    engine: str
    """Empty where the reason is the same on all engines."""
    count: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    ask: Ask
    total: int
    acts: int
    parts: tuple[Part, ...]
    """Those that it would act on, the largest first."""
    skipped: tuple[Skipped, ...]
    waits: int
    """Of those that it would act on: their agent is away, they wait for it."""
    succeeded: int
    """Of those that it would act on: they have run to a good end."""
    warnings: tuple[str, ...]
    newest_key: int


class _Count:
    def __init__(self, ask: Ask, abilities: Abilities) -> None:
        self._ask = ask
        self._abilities = abilities
        self.parts: Counter[tuple[str, str, str, str]] = Counter()
        self.skips: Counter[tuple[str, str, str]] = Counter()
        self.waits = 0
        self.samples: dict[str, list[int]] = {}
        self.newest_key = 0

    def add(self, task: SelectedTask) -> None:
        self.newest_key = max(self.newest_key, task.key)
        verb = rules.judge(self._ask.verb, task, self._ask.details)
        if isinstance(verb, rules.Skip):
            self.skips[verb.code, verb.message, ""] += 1
            return
        refusal = self._abilities.refusal(task.source, verb)
        if refusal is not None:
            self.skips[refusal.code, refusal.message, task.engine] += 1
            return
        self.parts[task.engine, task.source_name, task.queue, task.state.value] += 1
        if not self._abilities.is_present(task.source, verb):
            self.waits += 1
        elif verb == "retry" and len(sample := self.samples.setdefault(task.source, [])) < SAMPLED:
            sample.append(task.key)


async def preview(desk: CommandDesk, project_id: int, ask: Ask) -> Preview:
    """Count all tasks that are asked for. Raises `FilterInvalid`."""
    abilities = Abilities(desk.registry, project_id)
    count = _Count(ask, abilities)
    missing, cursor = 0, ""
    while True:
        portion = await read_portion(desk, project_id, ask, cursor, None)
        for task in portion.tasks:
            count.add(task)
        missing += portion.missing
        cursor = portion.cursor
        if not cursor:
            break
    if missing:
        count.skips[rules.GONE.code, rules.GONE.message, ""] += missing
    acts = sum(count.parts.values())
    return Preview(
        ask=ask,
        total=acts + sum(count.skips.values()),
        acts=acts,
        parts=tuple(
            Part(engine=engine, source_name=name, queue=queue, state=state, count=n)
            for (engine, name, queue, state), n in count.parts.most_common()
        ),
        skipped=tuple(
            Skipped(code=code, message=message, engine=engine, count=n)
            for (code, message, engine), n in count.skips.most_common()
        ),
        waits=count.waits,
        succeeded=sum(n for part, n in count.parts.items() if part[3] == "succeeded"),
        warnings=await _warnings(desk, project_id, abilities, count),
        newest_key=count.newest_key,
    )


async def _warnings(
    desk: CommandDesk, project_id: int, abilities: Abilities, count: _Count
) -> tuple[str, ...]:
    """Keys that nobody holds, as far as the newest tasks tell."""
    found: list[str] = []
    for source, keys in count.samples.items():
        sealed = await desk.history.sealed_calls(project_id, keys)
        ids = Counter(call[:SEAL_ID_CHARS].decode("ascii", "replace") for call in sealed.values())
        found += [
            f"{n} of the newest {len(keys)} were sealed with the key {seal_id}, which no connected "
            "agent holds: tasks sealed with it will be skipped. Put the DSN it was made with into "
            "QUEUEDECK_DSN_PREVIOUS on a worker."
            for seal_id, n in ids.items()
            if not abilities.holds(source, "retry", seal_id)
        ]
    return tuple(found)
