# SPDX-License-Identifier: AGPL-3.0-only
"""The page that asks before many tasks are acted on: what, how many, what not and why."""

from collections.abc import Sequence

import msgspec

from queuedeck.domain.operations import rules
from queuedeck.domain.operations.preview import Preview
from queuedeck.domain.operations.queries import OperationSeen
from queuedeck.domain.operations.selection import Ask
from queuedeck.ids import new_id
from queuedeck.web import urls
from queuedeck.web.format import count, plural
from queuedeck.web.views.operation_list import (
    VERB_WORDS,
    operation_url,
    operations_url,
    preview_url,
    rough,
)
from queuedeck.web.views.words import EngineTag, Link, engine_tag

DEFAULT_CANARY = 5
_MEANS = {
    "retry": "Each task runs again as a new task, with its original arguments, under the same "
    "name and queue. The failed one stays as it is, and both are linked.",
    "requeue": "Each task that its engine has given up goes back into its queue, by the engine's "
    "own way.",
    "cancel": "Waiting tasks will not run. Running ones are terminated where their host allows "
    "that, and skipped where it does not. What has been done is not undone.",
    "move": "Waiting tasks leave their queue and join the end of the other one.",
    "priority": "Waiting tasks keep their queue and get the new priority, in the engine's scale.",
}


class PartRow(msgspec.Struct, frozen=True, kw_only=True):
    engine: EngineTag
    source: str
    queue: str
    state: str
    count: str


class SkipRow(msgspec.Struct, frozen=True, kw_only=True):
    count: str
    text: str
    engine: str


class PreviewView(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    means: str
    what: str
    """Which tasks: the filter, or how they were named."""
    what_url: str
    parts: tuple[PartRow, ...]
    skipped: tuple[SkipRow, ...]
    skipped_total: str
    warnings: tuple[str, ...]
    others: tuple[Link, ...]
    why_not: str
    button: str
    fields: tuple[tuple[str, str], ...]
    """Hidden ones: the form says exactly what the page shows."""
    rate: int
    max_rate: int
    rate_hint: str
    canary: int
    canary_hint: str
    confirm_url: str
    back_url: str


class DetailView(msgspec.Struct, frozen=True, kw_only=True):
    """Asked before the preview, where a verb needs to know more."""

    title: str
    means: str
    label: str
    name: str
    is_number: bool
    fields: tuple[tuple[str, str], ...]
    preview_url: str
    back_url: str


def detail_view(
    project: str, verb: str, fields: Sequence[tuple[str, str]], question: str
) -> DetailView:
    is_move = verb == "move"
    return DetailView(
        title="Move tasks" if is_move else "Change the priority of tasks",
        means=_MEANS[verb],
        label="To which queue?" if is_move else "To which priority?",
        name="queue" if is_move else "priority",
        is_number=not is_move,
        fields=tuple(fields),
        preview_url=preview_url(project),
        back_url=urls.tasks(project, question),
    )


def preview_view(seen: Preview, project: str, others: Sequence[OperationSeen]) -> PreviewView:
    ask = seen.ask
    title = f"{VERB_WORDS[ask.verb]} {plural(seen.acts, 'task')}"
    if ask.verb == "move":
        title += f" to {ask.details.queue}"
    if ask.verb == "priority":
        title += f" to {ask.details.priority}"
    skipped = seen.total - seen.acts
    seconds = max(1, seen.acts // rules.DEFAULT_RATE)
    return PreviewView(
        title=title,
        means=_MEANS[ask.verb],
        what=_what(ask, seen.total),
        what_url=urls.tasks(project, ask.question) if ask.question else "",
        parts=tuple(
            PartRow(
                engine=engine_tag(part.engine), source=part.source_name,
                queue=part.queue or "no queue told", state=part.state, count=count(part.count),
            )
            for part in seen.parts
        ),
        skipped=tuple(
            SkipRow(count=count(skip.count), text=skip.message, engine=skip.engine)
            for skip in seen.skipped
        ),
        skipped_total=plural(skipped, "task") if skipped else "",
        warnings=_warnings(seen),
        others=tuple(
            Link(
                f"{VERB_WORDS[one.verb]} is {one.state.value} already, asked by "
                f"{one.requested_by.partition(':')[2]}",
                operation_url(project, one.id),
            )
            for one in others
        ),
        why_not="" if seen.acts else "There is no task that this would act on now.",
        button=title,
        fields=_fields(seen),
        rate=rules.DEFAULT_RATE,
        max_rate=rules.MAX_RATE,
        rate_hint=f"At {rules.DEFAULT_RATE} it takes about {rough(seconds)}. Hosts "
        "have limits of their own; it slows down when one says so.",
        canary=DEFAULT_CANARY if seen.acts > 2 * DEFAULT_CANARY else 0,
        canary_hint=f"The rest follows when {rules.CANARY_SHARE:.0%} of these went well: after a "
        "retry, the new tasks themselves. 0: none go first.",
        confirm_url=operations_url(project),
        back_url=urls.tasks(project, ask.question),
    )  # fmt: skip


def ask_fields(ask: Ask) -> tuple[tuple[str, str], ...]:
    """A form that asks the same."""
    fields = [("verb", ask.verb), ("q", ask.question), ("of", ask.parent_id)]
    fields += [("key", str(key)) for key in ask.keys]
    fields.append(("queue", ask.details.queue))
    if ask.details.priority >= 0:
        fields.append(("priority", str(ask.details.priority)))
    return tuple((name, value) for name, value in fields if value)


def _fields(seen: Preview) -> tuple[tuple[str, str], ...]:
    return (
        *ask_fields(seen.ask),
        ("operation_id", new_id()),
        ("newest_key", str(seen.newest_key)),
        ("expected", str(seen.total)),
        ("expected_acts", str(seen.acts)),
    )


def _what(ask: Ask, total: int) -> str:
    if ask.question:
        return ask.question
    if ask.parent_id:
        return "what was not done in an earlier operation"
    return f"{plural(total, 'task')} selected one by one"


def _warnings(seen: Preview) -> tuple[str, ...]:
    found = list(seen.warnings)
    if seen.ask.verb == "retry":
        if seen.succeeded:
            found.append(f"{plural(seen.succeeded, 'task')} of these succeeded and will run again.")
        elif seen.acts:
            found.append("These tasks have already run once: what they did may be done twice.")
    if seen.waits:
        found.append(f"{count(seen.waits)} of these wait until their agent is connected again.")
    return tuple(found)
