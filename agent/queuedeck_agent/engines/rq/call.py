# SPDX-License-Identifier: Apache-2.0
"""The original call of an RQ job, as bytes that can be enqueued again untouched."""

from typing import Any

import msgspec

from queuedeck_agent.seal import MAX_PLAINTEXT_BYTES


class SealedCall(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed. Only agents read it, so fields may be appended, with defaults."""

    data: bytes
    """Function, instance and arguments in the job's own serialisation."""
    origin: str
    """The queue."""
    description: str = ""
    timeout: int | float | None = None
    result_ttl: int | None = None
    failure_ttl: int | None = None
    ttl: int | None = None
    retries: int | None = None
    retry_intervals: list[int] | None = None
    retry_at_front: bool = False
    callbacks: tuple[str | None, str | None, str | None] = (None, None, None)
    """Names of what runs on success, on failure, when stopped."""
    callback_timeouts: tuple[int | None, int | None, int | None] = (None, None, None)
    meta: bytes = b""
    """The application's own notes, serialised as the job is."""
    linked: bool = False
    """It depended on other jobs, repeated itself, or was in a group: a retry runs alone."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SealedCall).decode
_CALLBACKS = ("success", "failure", "stopped")


def pack(job: Any, meta: bytes) -> bytes:
    """The plaintext of the sealed call, or nothing when it is over the limit."""
    data = job.data
    if not isinstance(data, bytes) or len(data) > MAX_PLAINTEXT_BYTES:
        return b""
    fields = vars(job)
    names = [fields.get(f"_{one}_callback_name") for one in _CALLBACKS]
    timeouts = [fields.get(f"_{one}_callback_timeout") for one in _CALLBACKS]
    packed = _encode(
        SealedCall(
            data,
            job.origin or "",
            job.description or "",
            job.timeout,
            job.result_ttl,
            job.failure_ttl,
            job.ttl,
            job.retries_left,
            job.retry_intervals,
            bool(fields.get("enqueue_at_front_on_retry")),
            (names[0], names[1], names[2]),
            (timeouts[0], timeouts[1], timeouts[2]),
            meta,
            bool(
                fields.get("_dependency_ids")
                or fields.get("repeats_left")
                or fields.get("group_id")
            ),
        )
    )
    return packed if len(packed) <= MAX_PLAINTEXT_BYTES else b""


def encoded(call: SealedCall) -> bytes:
    """The plaintext to be sealed; `Seals` refuses what is over the limit."""
    return _encode(call)


def unpack(call: bytes) -> SealedCall:
    """The call again; raises `msgspec.DecodeError` when it is not one of RQ's."""
    return _decode(call)


def fill(job: Any, call: SealedCall) -> None:
    """Makes a fresh job the same call. Nothing is deserialised: a pickle would run code."""
    job.data = call.data
    job.origin = call.origin
    job.description = call.description
    job.timeout = call.timeout
    job.result_ttl, job.failure_ttl, job.ttl = call.result_ttl, call.failure_ttl, call.ttl
    job.retries_left, job.retry_intervals = call.retries, call.retry_intervals
    job.enqueue_at_front_on_retry = call.retry_at_front
    for one, name, timeout in zip(_CALLBACKS, call.callbacks, call.callback_timeouts, strict=True):
        if name:
            setattr(job, f"_{one}_callback_name", name)
            setattr(job, f"_{one}_callback_timeout", timeout)
