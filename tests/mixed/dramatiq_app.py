# SPDX-License-Identifier: AGPL-3.0-only
"""The same application, with its timeouts lowered: a dead worker's messages are given out again
after two seconds, not a minute, and at the next command instead of one in a thousand."""

from tests.conformance.dramatiq_app import broker

broker.heartbeat_timeout = 2000
broker.maintenance_chance = 1_000_000
