# SPDX-License-Identifier: AGPL-3.0-only
"""The identity of the spool under any sequence of events: received + lost = produced."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.agent_events import failed, published, started, succeeded
from tests.support.far_edge import FarEdge

from queuedeck_agent import lane, wire
from queuedeck_agent.recorder import Recorder
from queuedeck_agent.shipper import Shipper
from queuedeck_agent.spool import Spool

LIMIT_BYTES = 400_000


class Accounting(RuleBasedStateMachine):
    """A host that records, dies and is born again; a link that ships, loses acks, dies too."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "lanes").mkdir()
        self.spool = Spool("f" * 32, self.folder, LIMIT_BYTES)
        self.recorder = Recorder(self.spool)
        self.shipper = Shipper(self.spool)
        self.edge = FarEdge()
        self.produced = 0
        self.failures = 0

    @initialize()
    def look_often(self) -> None:
        lane.LOOK_AGAIN_S = 0.0

    @rule(count=st.integers(1, 400), size=st.integers(0, 2_000))
    def record_successes(self, count: int, size: int) -> None:
        for number in range(count):
            name = f"{self.produced}-{number}"
            self.recorder.emit(published(name, b"x" * size))
            self.recorder.emit(started(name))
            self.recorder.emit(succeeded(name))
        self.produced += 3 * count

    @rule(count=st.integers(1, 20))
    def record_failures(self, count: int) -> None:
        for number in range(count):
            self.recorder.emit(failed(f"{self.produced}-{number}"))
        self.produced += count
        self.failures += count

    @rule()
    def die(self) -> None:
        self.recorder.abandon()

    @rule()
    def leave(self) -> None:
        self.recorder.close()

    @rule(ack=st.booleans())
    def ship_one_frame(self, ack: bool) -> None:
        self.shipper.claim_lanes()
        frame = self.shipper.next_frame(1 << 20)
        if frame is not None:
            self._deliver(frame, ack)

    @rule()
    def reconnect(self) -> None:
        self.shipper.begin(self.edge.committed)

    @rule()
    def lose_the_link(self) -> None:
        self.shipper.close()
        self.shipper = Shipper(self.spool)
        self.shipper.claim_lanes()
        self.shipper.make_room()
        self.shipper.begin(self.edge.committed)

    @rule()
    def thin(self) -> None:
        self.shipper.make_room()

    @invariant()
    def spool_is_bounded(self) -> None:
        assert self.spool.used_bytes() <= LIMIT_BYTES

    def teardown(self) -> None:
        self.recorder.emit(failed("last"))
        self.produced += 1
        self.recorder.close()
        self.shipper.claim_lanes()
        self.shipper.begin(self.edge.committed)
        while (frame := self.shipper.next_frame(1 << 20)) is not None:
            self._deliver(frame, ack=True)
        assert self.shipper.drained
        self.shipper.close()
        shutil.rmtree(self.folder)
        received = sum(not isinstance(e, wire.Loss) for e in self.edge.received.values())
        assert received + self.edge.lost() == self.produced
        assert sum(len(numbers) for numbers in self.edge.covered.values()) == self.produced

    def _deliver(self, frame: bytes, ack: bool) -> None:
        message = wire.decode_agent_message(frame)
        assert isinstance(message, wire.Frame)
        answer = self.edge.take(message)
        if ack and isinstance(answer, wire.Ack):
            self.shipper.acknowledged(answer.committed)
        elif isinstance(answer, wire.Nack):
            self.shipper.send_again(answer.expected)


TestAccounting = Accounting.TestCase
TestAccounting.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
