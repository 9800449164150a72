# SPDX-License-Identifier: AGPL-3.0-only
"""Entries of the audit log in words, and the answer of the check."""

from datetime import datetime

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.domain.audit.queries import AuditLine
from queuedeck.domain.audit.verify import Verdict, Verified
from queuedeck.web import urls
from queuedeck.web.format import Moment, moment_minute, plural

_ACTIONS = {
    "project.create": "made the project",
    "agent-key.create": "made an agent key",
    "agent-key.revoke": "revoked an agent key",
    "api-token.create": "made an API token",
    "api-token.revoke": "revoked an API token",
    "user.create": "made a user",
    "member.add": "added a member",
    "setup-link.create": "made a set-up link",
    "login": "signed in",
    "logout": "signed out",
    "task.retry": "asked for a retry",
    "task.cancel": "asked for a cancellation",
    "task.terminate": "asked to stop a running task",
    "queue.pause": "asked to pause a queue",
    "queue.resume": "asked to resume a queue",
    "queue.purge": "asked to purge a queue",
    "queue.peek": "asked to look into a queue",
    "queue.dead": "asked for the dead letters of a queue",
    "queue.requeue": "asked to put dead letters back",
    "worker.pool": "asked to change the pool of a worker",
    "worker.rate": "asked to limit the rate of tasks",
    "worker.drain": "asked to drain a worker",
    "worker.undrain": "asked a worker to take tasks again",
    "worker.restart": "asked to restart a worker",
    "task.edit": "asked for a retry with other arguments",
    "task.priority": "asked for another priority",
    "task.move": "asked to move a task",
    "task.requeue": "asked to put a task back into its queue",
    "task.reconcile": "asked the engine about a task",
    "source.reconcile": "asked an engine about tasks that seem stuck",
    "name.submit": "asked to run a task",
    "view.save": "saved a view",
    "view.remove": "removed a view",
    "project.retention": "changed how long tasks are kept",
    "labels.create": "made a rule of labels",
    "labels.change": "changed a rule of labels",
    "labels.delete": "deleted a rule of labels",
    "labels.move": "moved a rule of labels",
    "labels.defaults": "switched the shipped rules of labels",
}
_COMMANDS = {
    "retry": "a retry",
    "edit": "a retry with other arguments",
    "cancel": "a cancellation",
    "terminate": "a termination",
    "submit": "a submission",
    "priority": "a change of priority",
    "dead": "a look at dead letters",
    "pool": "a change of pool size",
    "rate": "a rate limit",
    "resume": "the end of a pause",
}
"""What agents answer to; the other verbs are nouns by themselves."""


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    seq: str
    when: Moment
    who: str
    who_title: str
    ip: str
    action: str
    target: str
    target_url: str
    outcome: str
    is_bad: bool
    details: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.who} {self.action}"


class CheckView(msgspec.Struct, frozen=True):
    """What the button found."""

    ok: bool
    title: str
    lines: tuple[str, ...]


class AuditView(msgspec.Struct, frozen=True, kw_only=True):
    entries: tuple[EntryView, ...]
    total: str
    more_url: str
    first_url: str
    check: CheckView | None
    checks_url: str
    checkpoint: str
    """The signed note over the whole log, of all projects."""


def total(entries: int) -> str:
    return plural(entries, "entry", "entries")


def check_view(found: Verified) -> CheckView:
    ok = found.verdict is Verdict.OK
    if ok:
        root = f"Merkle root {found.root}"
        return CheckView(True, f"{total(found.size)} verified", (*found.proved, root))
    return CheckView(False, "The log does not verify", (found.problem, *found.proved))


def entry_view(line: AuditLine, project: str) -> EntryView:
    at = datetime.fromisoformat(line.time)
    who = line.actor.name or line.actor.kind
    return EntryView(
        seq=str(line.seq),
        when=moment_minute(round(at.timestamp() * SECOND_US)),
        who="the server" if line.actor.kind == "system" else who,
        who_title=f"{line.actor.kind} {line.actor.id}, by {line.actor.auth}",
        ip=line.ip,
        action=_action(line.action),
        target=line.target,
        target_url=_target_url(line.target, project),
        outcome=line.outcome,
        is_bad=line.outcome not in ("done", "requested"),
        details=_details(line),
    )


def _details(line: AuditLine) -> tuple[str, ...]:
    if line.payload is None:
        return ("details erased",) if line.payload_sha256 else ()
    return tuple(f"{key} {value}" for key, value in sorted(line.payload.items()) if value != "")


def _target_url(target: str, project: str) -> str:
    kind, _, rest = target.partition(":")
    engine, _, task_id = rest.partition(":")
    return urls.task(project, engine, task_id) if kind == "task" and task_id else ""


def _action(action: str) -> str:
    kind, _, verb = action.partition(".")
    if kind == "command":
        return f"recorded the outcome of {_COMMANDS.get(verb, f'a {verb}')}"
    return _ACTIONS.get(action, action.replace(".", " ").replace("-", " "))
