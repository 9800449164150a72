# SPDX-License-Identifier: AGPL-3.0-only
"""The pages with a call to fill in: edit and retry, and run a task by its name."""

from collections.abc import Callable, Mapping

import msgspec

from queuedeck.domain.commands.entered import (
    Entered,
    checked_priority,
    checked_queue,
)
from queuedeck.domain.commands.known import KnownSource
from queuedeck.domain.commands.later import EXAMPLES, delay_of
from queuedeck.errors import Invalid
from queuedeck.history.tasks import TaskDetail
from queuedeck.ids import new_id
from queuedeck.web import urls
from queuedeck.web.format import duration
from queuedeck.web.views.callform import Call, Field
from queuedeck.web.views.words import EngineTag, engine_tag
from queuedeck_agent import wire


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A field beside the arguments."""

    name: str
    label: str
    text: str = ""
    hint: str = ""
    error: str = ""
    is_number: bool = False
    choices: tuple[str, ...] = ()


class CallForm(msgspec.Struct, frozen=True, kw_only=True):
    """What both pages share."""

    url: str
    fields: tuple[Field, ...]
    options: tuple[Option, ...]
    button: str
    once: str
    problem: str = ""


class EditView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    engine: EngineTag
    task_id: str
    back_url: str
    about: str
    notes: tuple[str, ...]
    form: CallForm


class SourceChoice(msgspec.Struct, frozen=True, kw_only=True):
    value: str
    label: str
    chosen: bool
    why_not: str


class SubmitView(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    sources: tuple[SourceChoice, ...]
    names: tuple[str, ...]
    task: str
    why_not: str
    notes: tuple[str, ...]
    signature: str
    doc: str
    facts: tuple[str, ...]
    form: CallForm | None
    hidden: tuple[tuple[str, str], ...]
    """What the form sends along: which task it is."""
    names_note: str


def options_of(
    form: Mapping[str, str], queues: tuple[str, ...], engine: str, queue: str, now_us: int
) -> tuple[Option, ...]:
    """Queue, priority and delay as they were filled in, with what is wrong with each."""
    left = f"Left empty: {queue}." if queue else "Left empty: where the application sends it."
    own = f"In {engine_tag(engine).title}'s own scale; left empty: none."
    return (
        Option(
            name="queue",
            label="Queue",
            text=form.get("queue", ""),
            hint=left,
            error=_wrong(lambda: checked_queue(form.get("queue", ""))),
            choices=queues,
        ),
        Option(
            name="priority",
            label="Priority",
            text=form.get("priority", ""),
            hint=own,
            error=_wrong(lambda: checked_priority(_number(form, "priority"))),
            is_number=True,
        ),
        Option(
            name="delay_s",
            label="Not before",
            text=form.get("delay_s", ""),
            hint=f"Left empty: at once. Seconds, or {EXAMPLES}.",
            error=_wrong(lambda: delay_of(form.get("delay_s", ""), now_us)),
        ),
    )


def entered(call: Call, form: Mapping[str, str], now_us: int) -> Entered:
    """What the use-case takes; the options must have been found without error."""
    has_priority = bool(form.get("priority", "").strip())
    return Entered(
        args=call.args,
        kwargs=call.kwargs,
        queue=form.get("queue", ""),
        priority=_number(form, "priority") if has_priority else None,
        delay_s=delay_of(form.get("delay_s", ""), now_us),
    )


def has_errors(fields: tuple[Field, ...], options: tuple[Option, ...]) -> bool:
    return any(one.error for one in (*fields, *options))


def edit_view(
    detail: TaskDetail, project: str, kept: bool, info: wire.TaskInfo | None, form: CallForm
) -> EditView:
    row = detail.row
    hidden = any(field.lock for field in form.fields)
    notes = [
        "Arguments were redacted and capped before they left your host. What you leave as it is "
        "shown keeps its original value, which an agent takes from the sealed call."
        if kept
        else "Nobody has the original call of this task: what is written here is all that the new "
        "task gets" + (", so hidden values have to be filled in." if hidden else ".")
    ]
    if row.exception:
        notes.append(
            f"It ended with {row.exception.rpartition('.')[2]}: {row.message}".rstrip(": ")
        )
    return EditView(
        name=row.name,
        engine=engine_tag(row.engine),
        task_id=row.task_id,
        back_url=urls.task(project, row.engine, row.task_id, key=row.key),
        about=info.doc if info else "",
        notes=tuple(notes),
        form=form,
    )


def submit_view(
    project: str,
    sources: list[KnownSource],
    source: KnownSource | None,
    names: tuple[str, ...],
    task: str,
    info: wire.TaskInfo | None,
    form: CallForm | None,
    notes: tuple[str, ...] = (),
) -> SubmitView:
    chosen = source.source if source else ""
    title = engine_tag(source.engine).title if source else ""
    unknown = bool(task and names and task not in names)
    if unknown:
        text = f"No connected agent has told of a task called {task}. {title} may refuse it."
        notes = (text, *notes)
    return SubmitView(
        url=urls.submissions(project),
        sources=tuple(
            SourceChoice(
                value=one.source,
                label=f"{engine_tag(one.engine).title} on {one.name}",
                chosen=one.source == chosen,
                why_not=one.why_not,
            )
            for one in sources
        ),
        names=names,
        task=task,
        why_not=source.why_not if source else "",
        notes=notes,
        signature=signature(info) if info else "",
        doc=info.doc if info else "",
        facts=_facts(info) if info else (),
        form=form,
        hidden=(("source", chosen), ("task", task)),
        names_note=_names_note(source, names),
    )


def call_form(
    url: str, fields: tuple[Field, ...], options: tuple[Option, ...], button: str, once: str = ""
) -> CallForm:
    """`once` goes with the form, so that the same form sent twice is carried out once."""
    return CallForm(url=url, fields=fields, options=options, button=button, once=once or new_id())


def signature(info: wire.TaskInfo) -> str:
    """As Python would write it."""
    if not info.has_signature:
        return f"{info.name}(...)"
    stars = {"places": "*", "names": "**"}
    written: list[str] = []
    named = False
    for one in info.parameters:
        if (
            one.kind == "named"
            and not named
            and not any(p.kind == "places" for p in info.parameters)
        ):
            written.append("*")
        named = named or one.kind == "named"
        text = stars.get(one.kind, "") + one.name
        text += f": {one.annotation}" if one.annotation else ""
        if not one.required and not stars.get(one.kind):
            text += f" = {one.default or '...'}" if one.annotation else f"={one.default or '...'}"
        written.append(text)
    return f"{info.name}({', '.join(written)})"


def _facts(info: wire.TaskInfo) -> tuple[str, ...]:
    found = (
        f"queue {info.queue}" if info.queue else "",
        f"up to {info.max_retries} retries by the engine" if info.max_retries > 0 else "",
        f"ends after {duration(info.time_limit_us)}" if info.time_limit_us else "",
        f"at most {info.rate}" if info.rate else "",
    )
    return tuple(one for one in found if one)


def _names_note(source: KnownSource | None, names: tuple[str, ...]) -> str:
    if source is None:
        return ""
    if source.engine == "rq":
        return (
            "RQ has no registry. Taken are names that the application itself has sent, and those "
            "that QUEUEDECK_ALLOW_TASKS names on the host. Offered are those that ran of late."
        )
    return "" if names else "No agent has told which tasks are registered."


def _wrong(check: Callable[[], object]) -> str:
    try:
        check()
    except Invalid as error:
        return error.message
    return ""


def _number(form: Mapping[str, str], name: str) -> int:
    """0 where nothing was written. Raises `Invalid`."""
    text = form.get(name, "").strip()
    if not text:
        return 0
    if not text.isdecimal() or len(text) > 12:
        raise Invalid("This is a whole number, or nothing.")
    return int(text)
