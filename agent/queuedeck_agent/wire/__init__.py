# SPDX-License-Identifier: Apache-2.0
"""Every message that agent and server exchange, and nothing else. Use them as `wire.NAME`.

The rules: structs are arrays on the wire, so the order of fields is the contract. Append fields,
with defaults; never reorder, rename a tag or remove. Times are integers, microseconds since the
epoch in UTC (`_us`); durations are integer microseconds too. A new kind is a new tag: the other
side stores or answers what it does not know and goes on. Only msgspec and the standard library are
imported here, because the server imports this package as well. A new name is added below too.
"""
# What is imported here is the package's public names.
# ruff: noqa: F401
# pyright: reportUnusedImport=false

import msgspec

from queuedeck_agent.wire.commands import (
    COMMAND_CONTEXT,
    COMMAND_KEY_CONTEXT,
    VERBS,
    AskedTask,
    CommandBody,
    CommandDetails,
    StartSeen,
    decode_command_body,
)
from queuedeck_agent.wire.events import (
    AnyEvent,
    CommandDone,
    CommandFailed,
    Event,
    LogLine,
    Loss,
    SourceSeen,
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskLogged,
    TaskLost,
    TaskProgressed,
    TaskPublished,
    TaskReceived,
    TaskRetrying,
    TaskStarted,
    TaskSucceeded,
    TaskTagged,
    TaskTraced,
    decode_event,
)
from queuedeck_agent.wire.messages import (
    HEADER_PROJECT,
    HEADER_PROTOCOL,
    LINK_PATH,
    MAX_FRAME_BYTES,
    MAX_FRAME_EVENTS,
    NO_SPOOL,
    PROTOCOL,
    Ack,
    AgentMessage,
    Capability,
    Command,
    Credit,
    EngineInfo,
    Frame,
    Goodbye,
    Heartbeat,
    Hello,
    LanePart,
    Nack,
    Observe,
    Parameter,
    QueueDepth,
    QueueSnapshot,
    ServerMessage,
    TaskCatalog,
    TaskInfo,
    Watch,
    Welcome,
    decode_agent_message,
    decode_server_message,
)

encode = msgspec.msgpack.Encoder().encode
"""Any struct of these files to bytes."""
