# SPDX-License-Identifier: AGPL-3.0-only
"""One message of every kind, each field set. `python -m tests.support.wire_examples` writes golden
frames for the kinds that have none yet; those that exist are never rewritten.
"""

import sys
from pathlib import Path

import msgspec

from queuedeck_agent import wire

GOLDEN = Path(__file__).parents[1] / "wire"

AT = 1_800_000_000_000_000
SOURCE = "0123456789ab"
TASK = "3f2b8f6e-8a4e-4f86-9d3c-0b1f0f9b5a11"
LANE = "00112233445566778899aabbccddeeff"
COMMAND = "ffeeddccbbaa99887766554433221100"
ARGS = b'{"args":[1,"a"],"kwargs":{"token":"[redacted]"}}'
SEALED = b"0a1b2c3d" + bytes(range(40))
KEY = bytes(range(32))
NONCE = bytes(range(16))

TRACEBACK = 'Traceback (most recent call last):\n  File "t.py", line 1\nValueError: no\n'

FIRST_PUBLISHED = wire.TaskPublished(
    AT,
    SOURCE,
    TASK,
    1,
    "app.mail.send",
    "mail",
    ARGS,
    SEALED,
    eta_us=AT + 60_000_000,
    expires_us=AT + 90_000_000,
    priority=3,
    parent_id="parent",
    root_id="root",
    group_id="group",
    retry_of="before",
    schedule="nightly",
    origin="12@web-1",
    exchange="mail",
    routing_key="mail.send",
    chord_id="chord",
)
"""As agents sent it before the struct had a route and a user."""

FIRST_DONE = wire.CommandDone(AT, COMMAND, "Sent again to the queue mail.", TASK, verified=False)
"""As agents sent it before an answer could say what it touched and found."""

FIRST_BEAT = wire.Heartbeat(AT, 100, 7, 4_096, 31)
"""As agents sent it before it told the memory of its processes."""

EVENTS: list[wire.AnyEvent] = [
    wire.SourceSeen(AT, SOURCE, "celery", "redis://broker.internal:6379/0", "5.6.2"),
    msgspec.structs.replace(FIRST_PUBLISHED, route="POST /orders/{id}", user="42"),
    wire.TaskReceived(AT, SOURCE, TASK, 1, "app.mail.send", "celery@w1", "mail", AT + 5),
    wire.TaskStarted(
        AT,
        SOURCE,
        TASK,
        2,
        "app.mail.send",
        "celery@w1",
        "mail",
        ARGS,
        SEALED,
        published_us=AT - 10,
        parent_id="parent",
        root_id="root",
        group_id="group",
        redelivered=True,
        release="v1.8",
        eta_us=AT - 5,
        pid=4711,
    ),
    wire.TaskSucceeded(AT, SOURCE, TASK, 1, 1_234, b'{"ok":true}', "app.mail.send", "celery@w1"),
    wire.TaskFailed(
        AT,
        SOURCE,
        TASK,
        3,
        "builtins.ValueError",
        "no",
        TRACEBACK,
        1_234,
        "timeout",
        "app.mail.send",
        "celery@w1",
    ),
    wire.TaskRetrying(
        AT,
        SOURCE,
        TASK,
        1,
        "builtins.ValueError",
        "no",
        TRACEBACK,
        1_234,
        AT + 60,
        "app.mail.send",
        "celery@w1",
    ),
    wire.TaskCancelled(AT, SOURCE, TASK, 1, "terminated", "app.mail.send", "celery@w1"),
    wire.TaskLost(AT, SOURCE, TASK, 1, "signal 9 (SIGKILL)", "app.mail.send", "celery@w1"),
    wire.Loss(AT, 7, {"task-received": 3, "task-succeeded": 4}, "folder read-only"),
    msgspec.structs.replace(FIRST_DONE, affected=3, found=b'{"state":"queued","where":"mail"}'),
    wire.CommandFailed(AT, COMMAND, "refused", "This host does not allow retry."),
    wire.TaskProgressed(AT, SOURCE, TASK, 1, 3.0, 12.5, "mails"),
    wire.TaskTagged(AT, SOURCE, TASK, 1, ("customer-42", "vip")),
    wire.TaskLogged(
        AT, SOURCE, TASK, 1, 5, (wire.LogLine(AT, 30, "app.mail", "the server is slow"),), 7
    ),
    wire.TaskTraced(AT, SOURCE, TASK, 1, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
]

FIRST_PUBLISHED_FILE = GOLDEN / "task-published.msgpack"

FRAMED = [EVENTS[0], FIRST_PUBLISHED]
"""What the golden frame holds."""

FIRST_HELLO = wire.Hello(
    agent_id=LANE,
    version="0.1.0",
    host="worker-1",
    pid=4711,
    nonce=NONCE,
    python="3.12.1",
    engines=(
        wire.EngineInfo(
            engine="celery",
            version="5.6.2",
            source=SOURCE,
            role="worker",
            worker="celery@w1",
            pool="prefork",
            slots=4,
            queues=("mail", "pay"),
            capabilities=(wire.Capability("retry", "native", "by a new message"),),
            tasks=("app.mail.send", "app.pay.charge"),
        ),
    ),
    allow=("observe", "retry"),
    seal_ids=("0a1b2c3d",),
    lanes=((LANE, 41),),
    checkpoint="queuedeck\n12\nabc\n",
    clock_us=AT,
    started_us=AT - 1_000,
    spool="memory",
    warnings=("Celery 5.9 was not tested.",),
)
"""As agents sent it before they told the release of the application."""

AGENT_MESSAGES: list[wire.AgentMessage] = [
    msgspec.structs.replace(FIRST_HELLO, release="v1.8"),
    wire.Frame(
        [
            wire.LanePart(
                LANE,
                42,
                [
                    msgspec.Raw(wire.encode(EVENTS[0])),
                    msgspec.Raw(FIRST_PUBLISHED_FILE.read_bytes()),
                ],
            )
        ]
    ),
    msgspec.structs.replace(
        FIRST_BEAT, rss_bytes=80 << 20, children=4, children_rss_bytes=300 << 20
    ),
    wire.QueueSnapshot(
        AT,
        SOURCE,
        (wire.QueueDepth("mail", 12, 3, 4, 1, AT - 5_000, 2),),
        "ConnectionError: refused",
    ),
    wire.TaskCatalog(
        SOURCE,
        (
            wire.TaskInfo(
                "app.mail.send",
                "Sends a mail.",
                "app.mail",
                "mail",
                (wire.Parameter("retries", "either", True, "3", "int"),),
                True,
                5,
                30_000_000,
                "10/m",
            ),
        ),
        2,
    ),
]

SERVER_MESSAGES: list[wire.ServerMessage] = [
    wire.Welcome(
        protocol=1,
        project="shop",
        credit_bytes=1 << 20,
        command_key=KEY,
        command_cert=KEY * 2,
        committed={LANE: 40},
        cancelled=((SOURCE, TASK),),
        clock_us=AT,
        checkpoint="queuedeck\n12\nabc\n",
    ),
    wire.Ack({LANE: 42}),
    wire.Nack({LANE: 40}),
    wire.Credit(1 << 18),
    wire.Command(b"\x90body", KEY * 2),
    wire.Goodbye("restarting", 5),
    wire.Observe((wire.Watch(SOURCE, ("mail", "pay")),), 7),
]

FIRST_BODY = wire.CommandBody(
    command_id=COMMAND,
    agent_id=LANE,
    nonce=NONCE,
    project="shop",
    verb="retry",
    source=SOURCE,
    task_id=TASK,
    task_name="app.mail.send",
    ttl_s=60,
    attempt=2,
    queue="mail",
    sealed=SEALED,
    audit_seq=17,
    actor="ann@example.com",
)
"""As servers sent it when every command was about one task."""

COMMAND_BODY = msgspec.structs.replace(
    FIRST_BODY,
    verb="edit",
    details=wire.CommandDetails(
        args=b'{"args":[1],"kwargs":{}}',
        queue="slow",
        priority=7,
        delay_s=60,
        worker="celery@w1",
        amount=-2,
        rate="10/m",
        for_s=1_800,
        reason="the mail server is down",
        ids=("a", "b"),
    ),
)


GROWN = {"task-published": 2, "command-done": 2, "command-body": 2, "hello": 2, "heartbeat": 2}
"""Kinds that have got fields since: which golden file has them all."""

OLDER: list[tuple[Path, wire.AnyEvent]] = [
    (FIRST_PUBLISHED_FILE, FIRST_PUBLISHED),
    (GOLDEN / "command-done.msgpack", FIRST_DONE),
]
"""Golden files from before that, and what they mean today."""

OLDER_MESSAGES: list[tuple[Path, wire.AgentMessage]] = [
    (GOLDEN / "hello.msgpack", FIRST_HELLO),
    (GOLDEN / "heartbeat.msgpack", FIRST_BEAT),
]

FIRST_BODY_FILE = GOLDEN / "command-body.msgpack"


def golden_file(message: msgspec.Struct) -> Path:
    """`<tag>.msgpack`, or `<tag>.2.msgpack`; the body of a command has no tag of its own."""
    tag = str(message.__struct_config__.tag or "command-body")
    number = f".{GROWN[tag]}" if tag in GROWN else ""
    return GOLDEN / f"{tag}{number}.msgpack"


def everything() -> list[msgspec.Struct]:
    return [*EVENTS, *AGENT_MESSAGES, *SERVER_MESSAGES, COMMAND_BODY]


def main() -> None:
    for message in everything():
        file = golden_file(message)
        if not file.exists():
            file.write_bytes(wire.encode(message))
            sys.stdout.write(f"wrote {file}\n")


if __name__ == "__main__":
    main()
