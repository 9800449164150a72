# SPDX-License-Identifier: AGPL-3.0-only
"""Paths of pages. Task ids may hold anything, `/` included, and stay one segment."""

from urllib.parse import quote, urlencode

from queuedeck.entrance.paths import encode_id


def tasks(project: str, question: str = "", after: str = "") -> str:
    query = [f"q={quote(question, safe=':*,@.')}"] if question else []
    query += [f"after={quote(after, safe='')}"] if after else []
    return f"/p/{project}/tasks" + (f"?{'&'.join(query)}" if query else "")


def facets(project: str, question: str) -> str:
    return f"/p/{project}/tasks/facets?q={quote(question, safe=':*,@.')}"


def histogram(project: str, question: str) -> str:
    return f"/p/{project}/tasks/histogram?q={quote(question, safe=':*,@.')}"


def time_range(project: str) -> str:
    return f"/p/{project}/tasks/range"


def suggestions(project: str, kept: str) -> str:
    return f"/p/{project}/tasks/suggestions?kept={quote(kept, safe=':*,@.')}"


def tasks_api(project: str, question: str) -> str:
    return f"/api/v1/projects/{project}/tasks?q={quote(question, safe=':*,@.')}"


def task(
    project: str,
    engine: str,
    task_id: str,
    generation: int | None = None,
    *,
    key: int | None = None,
) -> str:
    """A task's page: the newest of the id; the one with this number; or, from any row, its own."""
    which = f"?key={key}" if key else f"?generation={generation}" if generation else ""
    return f"/p/{project}/tasks/{quote(engine, safe='')}/{encode_id(task_id)}{which}"


def trends(project: str, window: str = "", fields: dict[str, str] | None = None) -> str:
    query = {"range": window} if window else {}
    query |= fields or {}
    return f"/p/{project}/trends" + (f"?{urlencode(query)}" if query else "")


def failures(project: str, fields: dict[str, str] | None = None) -> str:
    return f"/p/{project}/errors" + (f"?{urlencode(fields)}" if fields else "")


def failure(project: str, group: int) -> str:
    return f"/p/{project}/errors/{group}"


def queues(project: str) -> str:
    return f"/p/{project}/queues"


def queue(project: str, engine: str, source: str, name: str) -> str:
    return f"{queues(project)}/{quote(engine, safe='')}/{quote(source, safe='')}/{encode_id(name)}"


def workers(project: str, by: str = "") -> str:
    return f"/p/{project}/workers" + (f"?by={by}" if by else "")


def worker(project: str, agent_id: str, source: str) -> str:
    """Where actions on a worker go."""
    return f"{workers(project)}/{quote(agent_id, safe='')}/{quote(source, safe='')}"


def saved_views(project: str, question: str = "") -> str:
    query = f"?q={quote(question, safe=':*,@.')}" if question else ""
    return f"/p/{project}/views{query}"


def saved_view(project: str, ref: str) -> str:
    return f"/p/{project}/views/{quote(ref, safe='')}"


def export(project: str, question: str, kind: str) -> str:
    return f"/p/{project}/tasks/export.{kind}?q={quote(question, safe=':*,@.')}"


def agents(project: str) -> str:
    return f"/p/{project}/agents"


def storage(project: str) -> str:
    return f"/p/{project}/storage"


def labels(project: str, rule: str = "") -> str:
    """The rules, or the form of one: `label` or `mark` for a new one."""
    return f"/p/{project}/labels" + (f"/{rule}" if rule else "")


def audit(project: str) -> str:
    return f"/p/{project}/audit"


def connect(project: str) -> str:
    return f"/p/{project}/connect"


def command(project: str, command_id: str) -> str:
    return f"/p/{project}/commands/{command_id}"


def submissions(project: str) -> str:
    return f"/p/{project}/submissions"


def submission(project: str, command_id: str) -> str:
    return f"/p/{project}/submissions/{command_id}"


def submissions_like(project: str, source: str, name: str, task_id: str, key: int) -> str:
    """The form, filled with what a task was called with."""
    fields = {"source": source, "task": name, "like": task_id, "key": str(key)}
    return f"/p/{project}/submissions?{urlencode(fields)}"


def submission_again(project: str, command_id: str) -> str:
    """The form, filled with what was submitted before."""
    return f"/p/{project}/submissions?{urlencode({'again': command_id})}"
