# SPDX-License-Identifier: AGPL-3.0-only
"""What a list of tasks is asked for."""

import msgspec

from queuedeck.history.ranges import Between, Period
from queuedeck.history.tasks import TaskState


class PathTerm(msgspec.Struct, frozen=True):
    """A value inside arguments or results."""

    part: str
    """`args` or `result`."""
    path: tuple[str, ...]
    """Keys and positions, `*` for any; empty: anywhere."""
    values: tuple[str, ...]
    """Any of these, as text, or patterns with `*`."""
    is_negated: bool = False


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed question. Empty fields do not restrict; all that are given must hold.

    In each field any of the values will do, except `texts` and `paths`, of which each must be
    found. What a `not_` field holds is exactly what the field without it would not find.
    """

    states: tuple[TaskState, ...] = ()
    names: tuple[str, ...] = ()
    """Exact task names, or patterns with `*`; so are labels, queues, workers, errors, releases."""
    labels: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Fingerprints or names of sources."""
    workers: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    """Types of the newest error. Without a dot, the last part of the type will do."""
    groups: tuple[str, ...] = ()
    """Fingerprints of failure groups, 16 hex digits: that of the newest failed attempt."""
    releases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """What tasks' own code put on them, or patterns with `*`."""
    traces: tuple[str, ...] = ()
    """Ids of OpenTelemetry's traces."""
    marked: tuple[str, ...] = ()
    """`yes` or `no`: whether a rule marked the task."""
    ids: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    """Ids of first tasks of workflows; the first task itself is found too."""
    waits: tuple[Between, ...] = ()
    """Microseconds."""
    runtimes: tuple[Between, ...] = ()
    """Microseconds."""
    retries: tuple[Between, ...] = ()
    """Attempts beyond the first."""
    times: tuple[Period, ...] = ()
    """When the first fact about the task happened."""
    not_states: tuple[TaskState, ...] = ()
    not_names: tuple[str, ...] = ()
    not_labels: tuple[str, ...] = ()
    not_queues: tuple[str, ...] = ()
    not_engines: tuple[str, ...] = ()
    not_sources: tuple[str, ...] = ()
    not_workers: tuple[str, ...] = ()
    not_errors: tuple[str, ...] = ()
    not_groups: tuple[str, ...] = ()
    not_releases: tuple[str, ...] = ()
    not_tags: tuple[str, ...] = ()
    not_traces: tuple[str, ...] = ()
    not_marked: tuple[str, ...] = ()
    not_ids: tuple[str, ...] = ()
    not_roots: tuple[str, ...] = ()
    not_waits: tuple[Between, ...] = ()
    not_runtimes: tuple[Between, ...] = ()
    not_retries: tuple[Between, ...] = ()
    not_times: tuple[Period, ...] = ()
    paths: tuple[PathTerm, ...] = ()
    texts: tuple[str, ...] = ()
    """Part of a task name, the beginning of an id, or of a word in arguments or errors."""
    not_texts: tuple[str, ...] = ()
