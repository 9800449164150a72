# SPDX-License-Identifier: Apache-2.0
"""Commands about a queue: look into it, empty it, hold it back on this host."""

import base64
import time
import zlib
from typing import TYPE_CHECKING, Any

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.commands import MAX_FOUND, Action, Found, done, messages
from queuedeck_agent.engines.rq import making, plain, scripts
from queuedeck_agent.engines.rq import stamp as rq_stamp
from queuedeck_agent.engines.rq.queues import instant_us
from queuedeck_agent.errors import CommandRefused

if TYPE_CHECKING:
    from queuedeck_agent.engines.rq.adapter import RqEngine

DEFAULT_AMOUNT = 20
AT_ONCE = 200
"""Jobs that one step of a purge takes: others wait for Redis no longer than some milliseconds."""
MOST_TOLD = 100_000
_MAX_ERROR = 500
_FIELDS = ("queuedeck", "description", "enqueued_at", "ended_at", "status", "exc_info")
_decode_stamp = msgspec.json.Decoder(rq_stamp.Stamp).decode


class QueueCommands:
    """On the thread of the agent's runner."""

    def __init__(self, agent: Agent, engine: "RqEngine") -> None:
        self.agent = agent
        self.engine = engine
        self.connection = engine.connection

    @property
    def actions(self) -> dict[str, Action]:
        """By verb."""
        return {
            "peek": self.peek,
            "dead": self.dead,
            "purge": self.purge,
            "pause": self.pause,
            "resume": self.resume,
        }

    def peek(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """The first of the list, which stays as it is."""
        amount = _amount(command)
        ids = self.connection.lrange(f"{scripts.QUEUE}{command.queue}", 0, amount - 1)
        rows = self._rows(ids)
        found = [self._found(row, row["enqueued_at"]) for row in rows]
        text = f"The first {len(found)} jobs of `{command.queue}`, as they wait."
        return done(command, text, found=messages(self._with_arguments(found, rows)))

    def dead(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """The registry of failed jobs, without RQ's own reading, which would clean it up."""
        registry, amount = f"rq:failed:{command.queue}", _amount(command)
        # It is ordered by when a job expires, which is not when it failed: some more are looked at.
        ids: list[bytes] = self.connection.zrevrange(registry, 0, 2 * MAX_FOUND - 1)
        ended = dict(zip(ids, self._field("ended_at", ids), strict=True))
        ids.sort(key=lambda job: scripts.text(ended[job]), reverse=True)
        rows = self._rows(ids[:amount])
        found = [
            msgspec.structs.replace(self._found(row, row["ended_at"]), error=self._error(row))
            for row in rows
        ]
        text = f"{len(found)} of the failed jobs of `{command.queue}`, newest first."
        return done(command, text, found=messages(self._with_arguments(found, rows)))

    def purge(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """Takes every job out that is in the list now, step by step, each step at once."""
        queue = f"{scripts.QUEUE}{command.queue}"
        keys = (queue, f"rq:canceled:{command.queue}")
        before = int(self.connection.llen(queue))
        gone = kept = told = 0
        while gone < before:
            count = min(AT_ONCE, before - gone)
            rows = self.connection.eval(scripts.PURGE, 2, *keys, count, scripts.JOB)
            gone += len(rows)
            kept += sum(int(row[5]) for row in rows)
            told += self._tell_purged(rows, MOST_TOLD - told)
            if len(rows) < count:
                break
        left = int(self.connection.llen(queue))
        effect = f"Took {gone} waiting jobs out of `{command.queue}` and deleted them."
        effect += " Scheduled, deferred and running jobs and results are as they were."
        if kept:
            effect += (
                f" Others depend on {kept} of them: those are kept as cancelled, and what depends "
                "on them stays deferred."
            )
        if gone > told:
            effect += f" {gone - told} more were not told one by one, or run already."
        if left:
            effect += f" {left} came in meanwhile."
        return done(command, effect, verified=gone == before or not left, affected=gone)

    def pause(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """This host's workers leave the queue alone."""
        queue, details = command.queue, command.details
        if not queue:
            raise CommandRefused("invalid", "No queue was named.")
        source, paused = self.engine.source.key, self.agent.paused
        try:
            paused.add(source, queue, details.for_s, details.reason)
        except OSError as error:
            text = f"The pause could not be kept for workers that start later ({error})."
            raise CommandRefused("error", text) from None
        end = f"for {details.for_s} s" if details.for_s > 0 else "until it is resumed"
        worker, is_kept = self.engine.worker, self.agent.spool.folder is not None
        others = ", nor do the other workers with the agent on this host"
        effect = (
            f"The worker {worker.name} takes nothing more from `{queue}` {end}"
            f"{others if is_kept else ''}; workers without the agent still do. What runs goes on. "
            "A job that a worker takes while it still waits at the queue goes back to the front."
        )
        if not is_kept:
            effect += " This host has no spool folder: a restart of the worker ends the pause."
        if queue not in self.engine.queue_names:
            effect += " This worker does not serve that queue."
        effect += self.engine.doubt
        is_held = (source, queue) in paused and not self.engine.doubt
        return done(command, effect, verified=is_held)

    def resume(self, command: wire.CommandBody, _: bytes) -> wire.CommandDone:
        """They take from it again."""
        queue, source = command.queue, self.engine.source.key
        try:
            was_paused = self.agent.paused.remove(source, queue)
        except OSError as error:
            raise CommandRefused("error", f"The pause could not be ended ({error}).") from None
        effect = f"The workers of this host take from `{queue}` again, within a second."
        if not was_paused:
            effect = f"`{queue}` was not paused on this host."
        return done(command, effect, verified=(source, queue) not in self.agent.paused)

    def _tell_purged(self, rows: list[Any], room: int) -> int:
        """Emits what became of them; how many. A job that runs or has ended is not purged."""
        at_us, source = time.time_ns() // 1_000, self.engine.source.key
        events = [
            wire.TaskCancelled(at_us, source, job_id, attempt, "purged", name)
            for job_id, attempt, name in map(_purged, rows)
            if job_id
        ]
        for event in events[:room]:
            self.agent.recorder.emit(event)
        return len(events[:room])

    def _rows(self, ids: list[Any]) -> list[dict[str, Any]]:
        """What is known of each job. A call that is too long to be shown is left where it is."""
        sizes = self._ask("hstrlen", "data", ids)
        short = [job for job, size in zip(ids, sizes, strict=True) if size <= plain.MAX_BYTES]
        calls = dict(zip(short, self._field("data", short), strict=True))
        columns = [self._field(name, ids) for name in _FIELDS]
        return [
            {
                "id": scripts.text(job),
                "data": calls.get(job),
                **dict(zip(_FIELDS, row, strict=True)),
            }
            for job, row in zip(ids, zip(*columns, strict=True), strict=True)
        ]

    def _field(self, name: str, ids: list[Any]) -> list[Any]:
        return self._ask("hget", name, ids)

    def _ask(self, what: str, name: str, ids: list[Any]) -> list[Any]:
        with self.connection.pipeline(transaction=False) as pipeline:
            for job in ids:
                getattr(pipeline, what)(scripts.JOB.encode() + job, name)
            return pipeline.execute() if ids else []

    def _found(self, row: dict[str, Any], moment: Any) -> Found:
        stamp = _stamp_of(row["queuedeck"])
        name = stamp.name or _name_in(scripts.text(row["description"]))
        return Found(row["id"], name, at_us=instant_us(moment), attempt=stamp.n)

    def _with_arguments(self, found: list[Found], rows: list[dict[str, Any]]) -> list[Found]:
        if not self.agent.config.capture_args:
            return found
        calls = [plain.read(row["data"]) if row["data"] else None for row in rows]
        shown = making.shown(calls, self.engine.has_horses)
        return [
            msgspec.structs.replace(one, name=call.name if call else one.name, args=args)
            for one, call, args in zip(found, calls, shown, strict=True)
        ]

    def _error(self, row: dict[str, Any]) -> str:
        """The last lines of what RQ keeps of it, redacted."""
        trace = _inflated(row["exc_info"])
        if not trace:
            last = self.connection.xrevrange(f"rq:results:{row['id']}", count=1)
            text = last[0][1].get(b"exc_string") if last else None
            trace = _inflated(base64.b64decode(text)) if text else ""
        if not trace:
            return "Stopped while it ran." if scripts.text(row["status"]) == "stopped" else ""
        lines = capture.traceback(trace).rstrip().splitlines()
        last_frame = max((n for n, line in enumerate(lines) if line.startswith("  ")), default=-1)
        return "\n".join(lines[last_frame + 1 :])[:_MAX_ERROR]


def _amount(command: wire.CommandBody) -> int:
    return min(command.details.amount, MAX_FOUND) if command.details.amount > 0 else DEFAULT_AMOUNT


def _purged(row: list[Any]) -> tuple[str, int, str]:
    """(id, attempt, name); no id for one that was in the queue though it does not wait."""
    job_id, status, stamp, retries, description, _ = map(scripts.text, row)
    if status not in ("queued", ""):
        return "", 0, ""
    known = _stamp_of(stamp)
    attempt = known.n if stamp else 1 + (int(retries) if retries.isdecimal() else 0)
    return job_id, attempt, known.name or _name_in(description)


def _stamp_of(field: Any) -> rq_stamp.Stamp:
    try:
        return _decode_stamp(field) if field else rq_stamp.Stamp()
    except msgspec.DecodeError:
        return rq_stamp.Stamp()


def _name_in(description: str) -> str:
    """RQ's own description is the call as text: `shop.send(1, to='x')`."""
    head, bracket, _ = description.partition("(")
    return head if bracket and head.replace(".", "").isidentifier() else ""


def _inflated(value: Any) -> str:
    try:
        return zlib.decompress(value).decode("utf-8", "replace") if value else ""
    except (zlib.error, TypeError):
        return ""
