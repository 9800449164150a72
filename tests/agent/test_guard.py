# SPDX-License-Identifier: AGPL-3.0-only
"""`contained`, the host's policy and the set of cancelled tasks."""

import signal
from pathlib import Path

import pytest

from queuedeck_agent import guard, wire
from queuedeck_agent.cancelled import MAX_KEPT, Cancelled
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.policy import Policy


class HostTimeout(Exception):
    """Raised by a host."""


def test_our_failure_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    @guard.contained
    def hook() -> int:
        return {}["missing"]

    for _ in range(5):
        assert hook() is None
    assert len(caplog.records) == 1
    assert "Your tasks are not affected" in caplog.text
    (site,) = guard.failures
    assert guard.failures.pop(site) == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes(error: type[BaseException]) -> None:
    @guard.contained
    def hook() -> None:
        raise error

    with pytest.raises(error):
        hook()


def test_exception_of_a_signal_handler_passes() -> None:
    def strike(*_: object) -> None:
        raise HostTimeout

    @guard.contained
    def hook() -> None:
        signal.raise_signal(signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, strike)
    try:
        with pytest.raises(HostTimeout):
            hook()
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_exception_type_that_an_adapter_named_passes() -> None:
    class Named(HostTimeout):
        pass

    @guard.contained
    def hook() -> None:
        raise Named

    guard.let_through(Named)
    with pytest.raises(Named):
        hook()


def test_failure_inside_a_library_that_we_called_is_ours() -> None:
    @guard.contained
    def hook() -> None:
        raise HostTimeout("say, a repr that fails")

    assert hook() is None
    guard.failures.clear()


def _command(verb: str = "retry", name: str = "shop.send") -> wire.CommandBody:
    return wire.CommandBody("c", "a", b"n", "p", verb, "s", "t", name, 60)


@pytest.mark.parametrize(
    "command",
    [_command("purge"), _command("terminate"), _command(name="bank.pay")],
    ids=["verb", "another verb", "task"],
)
def test_policy_refuses_what_the_host_did_not_allow(command: wire.CommandBody) -> None:
    policy = Policy(("observe", "retry"), ("shop.*",), 10)
    policy.check(_command())
    with pytest.raises(CommandRefused) as caught:
        policy.check(command)
    assert caught.value.code == "refused"
    assert "QUEUEDECK_ALLOW" in caught.value.message


@pytest.mark.parametrize("verb", ["observe", "", "drop-table"])
def test_policy_does_not_know_what_is_no_verb(verb: str) -> None:
    with pytest.raises(CommandRefused) as caught:
        Policy(tuple(wire.VERBS.values()), ("*",), 10).check(_command(verb))
    assert caught.value.code == "unsupported"


def test_policy_holds_the_rate() -> None:
    now = 0.0
    policy = Policy(("retry",), ("*",), 3, lambda: now)
    for _ in range(3):
        policy.check(_command())
    with pytest.raises(CommandRefused, match="QUEUEDECK_COMMAND_RATE"):
        policy.check(_command())
    now = 60.0
    policy.check(_command())


def test_cancelled_tasks_are_kept_on_disk_and_bounded(tmp_path: Path) -> None:
    kept = Cancelled(tmp_path)
    kept.add([("s", "1"), ("s", "with\ttab"), ("s", "with\nline")])
    assert ("s", "1") in Cancelled(tmp_path)
    assert ("s", "with\ttab") in Cancelled(tmp_path)
    assert ("s", "with\nline") in kept
    assert (tmp_path / "cancelled").stat().st_mode & 0o077 == 0
    kept.add(("s", str(number)) for number in range(MAX_KEPT + 5))
    assert len(kept) == MAX_KEPT
    assert ("s", str(MAX_KEPT + 4)) in kept
