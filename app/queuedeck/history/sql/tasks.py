# SPDX-License-Identifier: AGPL-3.0-only
"""The tasks of a group while it is written: found by one statement a day, changed in memory."""

from collections.abc import Iterable, Iterator

import msgspec

from queuedeck.history.facts import AnyFact
from queuedeck.history.sql.database import Database
from queuedeck.history.sql.days import DAY_SHIFT, Days, has_day, split
from queuedeck.history.sql.identity import Ext, is_uuid, older_key
from queuedeck.history.sql.names import FIRST_FINAL, Memory, Source
from queuedeck.history.sql.packed_facts import unpack_facts
from queuedeck.history.states import LIVE_GENERATIONS, Facts, generation_of

FLAG_CANCEL = 1
"""Somebody asked to cancel it."""
FLAG_CONFLICT = 2
"""An attempt reported more than one outcome."""
FLAG_PROGRESS, FLAG_TAGS, FLAG_LOGS, FLAG_TRACE = 4, 8, 16, 32
"""Extras of that kind are stored: see `extras.py`."""
FLAGS_KEPT = FLAG_CANCEL | FLAG_PROGRESS | FLAG_TAGS | FLAG_LOGS | FLAG_TRACE
"""Those that do not follow from the facts."""

Identity = tuple[int, int, Ext]
"""(project, source, stored id): what names a task apart from its generation."""

MOST_RECENT = 20_000
"""Ids whose open tasks are kept in memory: about a kilobyte each."""

NEW = -1
"""The stored state of a row that is not stored yet."""

_COLUMNS = (
    "t.n, t.project, t.source, t.ext, t.key, t.generation, t.facts, t.state, t.name, t.flags,"
    " t.seen_us, t.label, t.mark"
)


class Task(msgspec.Struct):
    """One row, with its facts."""

    id: int
    identity: Identity
    key: int
    generation: int
    facts: Facts
    state: int = NEW
    """Number of the state as stored."""
    name: int = 0
    """As stored."""
    flags: int = 0
    seen_us: int = -1
    """As stored."""
    label: str = ""
    mark: int = 0
    """Reference of the title of the rule that marked it."""
    before: Facts = {}
    """The facts as stored."""
    changed: bool = False
    """Whether the group added a fact, or the first extra of a kind."""
    relabelled: bool = False
    """The label is not as stored."""
    remarked: bool = False


class Recent:
    """Open tasks of the last groups, so that their next events need not read them again. As the
    tables have them: to be forgotten when a transaction is rolled back.
    """

    def __init__(self) -> None:
        self._tasks: dict[Identity, list[Task]] = {}

    def take(self, identity: Identity) -> list[Task] | None:
        """All that an id names, newest first; None when that is not known here."""
        tasks = self._tasks.pop(identity, None)
        for task in tasks or ():
            task.before = task.facts.copy()
            task.changed = False
        return tasks

    def keep(self, identity: Identity, tasks: list[Task]) -> None:
        """Those of a group that was written, if one of them is open."""
        live = tasks[:LIVE_GENERATIONS]
        if live[0].state < FIRST_FINAL or any(task.state < FIRST_FINAL for task in live):
            self._tasks[identity] = live

    def shrink(self) -> None:
        """Forget those that had no event for longest, when there are too many."""
        while len(self._tasks) > MOST_RECENT:
            del self._tasks[next(iter(self._tasks))]

    def forget(self) -> None:
        self._tasks.clear()


class Tasks:
    """The tasks of one group by identity, newest generation first."""

    def __init__(self, db: Database, days: Days, recent: Recent) -> None:
        self._db = db
        self._numbers = db.dialect.NUMBERS
        self._days = days
        self._recent = recent
        self._missing: set[Identity] = set()
        self._found: dict[Identity, list[Task]] = {}
        self.superseded: list[tuple[int, int]] = []
        """(new key, id) of rows that can receive no more events."""

    def load(self, keys: dict[Identity, int]) -> None:
        """Find the tasks with these keys: among the recent ones, in the days that are searched,
        and among the open ones of older days.
        """
        for identity in keys:
            known = self._recent.take(identity)
            if known is None:
                self._missing.add(identity)
            else:
                self._found[identity] = known
        if self._missing:
            self._read(self._db.dialect.listed({keys[identity] for identity in self._missing}))

    def _read(self, wanted: object) -> None:
        searched = self._days.searched()
        for day in searched:
            self._keep(
                day,
                self._db.execute(
                    f"SELECT {_COLUMNS} FROM {self._numbers} CROSS JOIN task_{day} AS t"  # noqa: S608
                    f" INDEXED BY task_{day}_key ON t.key = j.value",
                    (wanted,),
                ),
            )
        for day, numbers in self._open_ones(wanted).items():
            if day not in searched and has_day(self._db, day):
                self._keep(
                    day,
                    self._db.execute(
                        f"SELECT {_COLUMNS} FROM {self._numbers} CROSS JOIN task_{day} AS t"  # noqa: S608
                        " ON t.n = j.value WHERE t.key >= 0",
                        (self._db.dialect.listed(numbers),),
                    ),
                )
        for generations in self._found.values():
            if len(generations) > 1:
                generations.sort(key=lambda task: (-task.generation, -task.id))

    def _open_ones(self, wanted: object) -> dict[int, list[int]]:
        rows = self._db.execute(
            f"SELECT o.id FROM {self._numbers} CROSS JOIN open_task AS o ON o.key = j.value",  # noqa: S608
            (wanted,),
        )
        found: dict[int, list[int]] = {}
        for (number,) in rows:
            day, n = split(number)
            found.setdefault(day, []).append(n)
        return found

    def _keep(self, day: int, rows: Iterable[tuple[int, int, int, Ext, int, int, bytes]]) -> None:
        base = day << DAY_SHIFT
        for n, project, source, ext, key, generation, facts, *stored in rows:
            identity = (project, source, ext)
            if identity not in self._missing:
                continue  # Another id with the same key.
            known = unpack_facts(facts)
            task = Task(base | n, identity, key, generation, known, *stored, before=known.copy())
            self._found.setdefault(identity, []).append(task)

    def find_or_open(self, identity: Identity, key: int, fact: AnyFact, day: int) -> Task:
        """The task that a fact belongs to; a new one is filed under `day`."""
        generations = self._found.get(identity)
        if generations is None:
            generations = self._found[identity] = []
        generation = generation_of(fact, [(task.generation, task.facts) for task in generations])
        for task in generations:
            if task.generation == generation:
                return task
        self.superseded += [(older_key(old.key), old.id) for old in generations[1:]]
        task = Task(self._days.next_id(day), identity, key, generation, {})
        generations.insert(0, task)
        return task

    def find(self, identity: Identity) -> Task | None:
        """The newest task that an id names, if there is one."""
        generations = self._found.get(identity)
        return generations[0] if generations else None

    def remember(self) -> None:
        """After the group was written."""
        for identity, tasks in self._found.items():
            self._recent.keep(identity, tasks)
        self._recent.shrink()

    def changed(self) -> Iterator[Task]:
        """The tasks that the group changed."""
        return (task for tasks in self._found.values() for task in tasks if task.changed)


def identify(memory: Memory, project: int, source: Source, task_id: str) -> tuple[Identity, int]:
    """The identity of a task and its search key."""
    key, ext = memory.pack_id(task_id)
    if isinstance(ext, str) and not source.text_ids and not is_uuid(task_id):
        memory.mark_text_ids(source)
    return (project, source.id, ext), key
