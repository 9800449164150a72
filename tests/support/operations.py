# SPDX-License-Identifier: AGPL-3.0-only
"""What tests of operations work with: many tasks, an agent that answers, steps of the server."""

from tests.support.commands import SEALED, SOURCE, events_to
from tests.support.control import SHELL

from queuedeck.domain.commands.delivery import apply_results, claim_for_agent
from queuedeck.domain.operations import service
from queuedeck.domain.operations.preview import preview
from queuedeck.domain.operations.progress import active_operations, step
from queuedeck.domain.operations.queries import find_operation, list_outcomes, read_tally
from queuedeck.domain.operations.selection import checked
from queuedeck.domain.operations.service import Confirmed, confirm
from queuedeck.domain.operations.states import TaskOutcome
from queuedeck_agent import wire

FAILED = "state:failed"


class Bench:
    """One project's operations."""

    def __init__(self, desk, project, clock):
        self.desk, self.project, self.clock = desk, project, clock

    async def tasks(self, count, state="failed", prefix="t", sealed=SEALED, queue="mail"):
        """So many tasks in this state, named `t0`, `t1`, ..."""
        at, events = self.clock(), []
        for n in range(count):
            task_id = f"{prefix}{n}"
            events.append(
                wire.TaskPublished(at, SOURCE, task_id, 1, "shop.pay", queue, sealed=sealed)
            )
            events += events_to(state, at + 1, task_id)
        await self.desk.record(self.project.id, *events)

    def ask(self, verb="retry", question=FAILED, keys=(), parent="", queue="", priority=None):
        return checked(verb, question, list(keys), parent, queue, priority)

    async def preview(self, **asked):
        return await preview(self.desk, self.project.id, self.ask(**asked))

    async def confirm(self, *, rate=500, canary=0, reason="", operation_id="", **asked):
        seen = await self.preview(**asked)
        confirmed = Confirmed(
            ask=seen.ask, newest_key=seen.newest_key, expected=seen.total,
            expected_acts=seen.acts, rate=rate, canary=canary, reason=reason,
            operation_id=operation_id,
        )  # fmt: skip
        return await confirm(self.desk, self.project, confirmed, SHELL)

    async def step(self, times=1, seconds=1.0):
        for _ in range(times):
            self.clock.advance(seconds)
            for operation, slug in await active_operations(self.desk):
                await step(self.desk, operation, slug)

    async def started(self, **asked):
        """An operation that runs, and has sent nothing yet."""
        operation = await self.confirm(**asked)
        while (await self.find(operation)).state != "armed":
            await self.step(seconds=0)
        await self.step(seconds=10)
        return await self.find(operation)

    async def find(self, operation):
        return await find_operation(self.desk.control, self.project.id, operation.id)

    async def tally(self, operation):
        return await read_tally(self.desk.control, operation.id)

    async def outcomes(self, operation, outcome=None):
        wanted = TaskOutcome(outcome) if outcome else None
        return await list_outcomes(self.desk.control, operation.id, wanted, 10_000)

    async def claim(self, connection):
        found = []
        while some := await claim_for_agent(self.desk, self.project.id, connection.agent):
            found += some
        return found

    async def answer(self, claimed, code="", run="succeeded"):
        """The agent's answers: done, with a new task that ends so, or failed with this code."""
        at, results, events = self.clock(), [], []
        for item in claimed:
            command, new = item.command, f"again-{item.command.task_id}"
            if code:
                results.append(wire.CommandFailed(at, command.id, code, f"said {code}"))
                continue
            results.append(wire.CommandDone(at, command.id, "sent again", new))
            if command.verb == "retry":
                events.append(
                    wire.TaskPublished(
                        at, SOURCE, new, 1, "shop.pay", "mail", retry_of=command.task_id
                    )
                )
                events += events_to(run, at + 1, new)
        if events:
            await self.desk.record(self.project.id, *events)
        return await apply_results(self.desk, self.project.id, results)

    async def run(self, operation, connection, most=200, **answers):
        """Step and answer until it stands still; returns it as it is then."""
        for _ in range(most):
            await self.step()
            await self.answer(await self.claim(connection), **answers)
            found = await self.find(operation)
            if found.is_over or found.state == "paused":
                return found
        raise AssertionError(f"it is still {found.state} after {most} steps")

    async def press(self, action, operation, by=SHELL):
        return await getattr(service, action)(self.desk, self.project, operation.id, by)
