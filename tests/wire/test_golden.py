# SPDX-License-Identifier: AGPL-3.0-only
"""Golden frames: the bytes that agents and servers of any age sent must decode for ever.

A failure here means that the wire broke. Never rewrite a golden file to make this pass.
"""

import msgspec
import pytest
from tests.support import wire_examples as examples

from queuedeck_agent import wire


def name(message):
    return examples.golden_file(message).stem.partition(".")[0]


@pytest.mark.parametrize("event", examples.EVENTS, ids=name)
def test_golden_event_decodes_to_the_same_event(event):
    assert wire.decode_event(examples.golden_file(event).read_bytes()) == event


@pytest.mark.parametrize(
    ("file", "event"), examples.OLDER, ids=lambda one: getattr(one, "stem", "")
)
def test_golden_event_of_an_older_agent_has_defaults_for_what_was_appended(file, event):
    assert wire.decode_event(file.read_bytes()) == event


@pytest.mark.parametrize(
    ("file", "message"), examples.OLDER_MESSAGES, ids=lambda one: getattr(one, "stem", "")
)
def test_golden_message_of_an_older_agent_has_defaults_for_what_was_appended(file, message):
    assert wire.decode_agent_message(file.read_bytes()) == message


@pytest.mark.parametrize("message", examples.AGENT_MESSAGES, ids=name)
def test_golden_agent_message_decodes_to_the_same_message(message):
    decoded = wire.decode_agent_message(examples.golden_file(message).read_bytes())
    assert wire.encode(decoded) == wire.encode(message)


@pytest.mark.parametrize("message", examples.SERVER_MESSAGES, ids=name)
def test_golden_server_message_decodes_to_the_same_message(message):
    assert wire.decode_server_message(examples.golden_file(message).read_bytes()) == message


def test_golden_command_body_decodes_to_the_same_body():
    body = examples.golden_file(examples.COMMAND_BODY).read_bytes()
    assert wire.decode_command_body(body) == examples.COMMAND_BODY


def test_golden_body_of_an_older_server_has_no_details():
    body = wire.decode_command_body(examples.FIRST_BODY_FILE.read_bytes())
    assert body == examples.FIRST_BODY
    assert body.details == wire.CommandDetails()


def test_golden_frame_holds_events_that_decode():
    frame = wire.decode_agent_message((examples.GOLDEN / "frame.msgpack").read_bytes())
    assert isinstance(frame, wire.Frame)
    events = [wire.decode_event(raw) for raw in frame.parts[0].events]
    assert events == examples.FRAMED


def test_every_kind_of_message_has_a_golden_file():
    kinds = {
        *wire.AnyEvent.__args__,
        *wire.AgentMessage.__args__,
        *wire.ServerMessage.__args__,
        wire.CommandBody,
    }
    assert {type(message) for message in examples.everything()} == kinds
    files = {file.name for file in examples.GOLDEN.glob("*.msgpack")}
    newest = {examples.golden_file(message).name for message in examples.everything()}
    older = {file.name for file, _ in (*examples.OLDER, *examples.OLDER_MESSAGES)}
    older.add(examples.FIRST_BODY_FILE.name)
    assert files == newest | older


@pytest.mark.parametrize("event", examples.EVENTS, ids=name)
def test_fields_appended_by_a_newer_side_are_ignored(event):
    items = msgspec.msgpack.decode(examples.golden_file(event).read_bytes())
    newer = msgspec.msgpack.encode([*items, "a field", {"of": "tomorrow"}])
    assert wire.decode_event(newer) == event


@pytest.mark.parametrize("event", examples.EVENTS, ids=name)
def test_every_field_of_an_example_differs_from_its_default(event):
    fields = msgspec.structs.fields(event)
    same = [f.name for f in fields if getattr(event, f.name) == f.default]
    assert same == []


def test_an_unknown_kind_is_an_error_of_its_own_not_of_its_frame():
    unknown = msgspec.msgpack.encode(["task-teleported", 1, "x"])
    part = wire.LanePart(examples.LANE, 1, [msgspec.Raw(unknown)])
    frame = wire.decode_agent_message(wire.encode(wire.Frame([part])))
    assert isinstance(frame, wire.Frame)
    with pytest.raises(msgspec.ValidationError):
        wire.decode_event(frame.parts[0].events[0])
