# SPDX-License-Identifier: Apache-2.0
"""taskiq's settings that can hurt, by the broker."""

from typing import Any


def find(engine: Any) -> list[str]:
    found: list[str] = []
    for line in engine.lines:
        if line.role != "worker":
            continue
        kinds = {base.__name__ for base in type(line.broker).__mro__}
        if "ListQueueBroker" in kinds or "PubSubBroker" in kinds:
            found.append(
                f"{type(line.broker).__name__} forgets a message when a worker takes it: what a "
                "killed worker had taken is lost. RedisStreamBroker hands it out again."
            )
        if type(line.broker.result_backend).__name__ == "DummyResultBackend":
            found.append(
                "No result backend: `wait_result()` of your own code never gets an answer. Give "
                "the broker one with with_result_backend()."
            )
    return list(dict.fromkeys(found))
