# SPDX-License-Identifier: Apache-2.0
"""Our stamp on an RQ job: a field of its own in the job's hash, written along with the others.

It says which publication and attempt the hash stands for: RQ counts down what is left of the
retries and forgets how many there were, and runs a requeued job under its old id.
"""

from typing import Any

import msgspec

from queuedeck_agent.guard import absorbed, contained

FIELD = "queuedeck"
_FIELD_BYTES = FIELD.encode()
ON_JOB = "queuedeck_stamp"
"""Among the attributes of a job object."""


class Stamp(msgspec.Struct, omit_defaults=True):
    """Read by agents alone: fields may be added, with defaults."""

    at: int = 0
    """When it was published, in microseconds."""
    n: int = 1
    """The attempt that is due or runs."""
    c: bool = False
    """The publisher captured the arguments."""
    name: str = ""
    parent: str = ""
    root: str = ""
    ended: bool = False
    """The job has ended: what comes now is another run under the same id."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Stamp).decode


def get(job: Any) -> Stamp | None:
    """The stamp of a job that was made or read in this process."""
    return vars(job).get(ON_JOB)


def put(job: Any, stamp: Stamp) -> None:
    """Stamps the job; its next save writes it."""
    vars(job)[ON_JOB] = stamp


def encoded(stamp: Stamp) -> bytes:
    """As it stands in the hash."""
    return _encode(stamp)


@contained
def write(job: Any, fields: Any) -> None:
    """Adds the stamp to what is about to be saved."""
    stamp = get(job)
    if stamp is not None:
        fields[FIELD] = _encode(stamp)


def read(job: Any, fields: Any) -> None:
    """Takes the stamp from what was read."""
    try:
        found = fields.get(_FIELD_BYTES) or fields.get(FIELD)
        if found:
            vars(job)[ON_JOB] = _decode(found)
        else:
            vars(job).pop(ON_JOB, None)
    except msgspec.DecodeError:
        vars(job).pop(ON_JOB, None)
    except Exception as error:
        if not absorbed(error, f"{__name__}.read"):
            raise


def instant_us(moment: Any) -> int:
    """Microseconds of one of RQ's times; 0 if there is none. Without a zone it is local time."""
    return int(moment.timestamp() * 1_000_000) if moment is not None else 0
