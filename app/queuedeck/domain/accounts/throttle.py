# SPDX-License-Identifier: AGPL-3.0-only
"""Slows guesses down, per account and per address, in the database: restarts do not forget, and
nobody is locked out for good.

A bucket is one number, the moment when it is full again: each attempt moves it by one interval,
and an attempt is refused while it is further ahead than the burst allows.
"""

import hashlib
import ipaddress

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from queuedeck.clock import DAY_US, MINUTE_US, SECOND_US
from queuedeck.domain.accounts.models import LoginBucket, LoginSession
from queuedeck.errors import TooMany

ACCOUNT_BURST = 10
ACCOUNT_INTERVAL_US = MINUTE_US
ADDRESS_BURST = 20
ADDRESS_INTERVAL_US = 10 * SECOND_US
KNOWN_ADDRESS_US = 30 * DAY_US
"""An address from which the account signed in this recently is not held up by other addresses."""


async def take(session: AsyncSession, email: str, user_id: int | None, ip: str, now: int) -> None:
    """Count one attempt. Raises `TooMany` with the seconds to wait, and then counts nothing."""
    address = address_key(ip)
    wait_us = await _wait(session, address, ADDRESS_BURST, ADDRESS_INTERVAL_US, now)
    account = account_key(email)
    if wait_us == 0:
        wait_us = await _wait(session, account, ACCOUNT_BURST, ACCOUNT_INTERVAL_US, now)
        if wait_us and user_id is not None and await _is_known(session, user_id, ip, now):
            wait_us = 0
    if wait_us:
        seconds = -(-wait_us // SECOND_US)
        raise TooMany(f"Too many attempts to sign in. Wait {seconds} s and try again.")
    await session.execute(delete(LoginBucket).where(LoginBucket.full_us <= now))
    await _pour(session, address, ADDRESS_INTERVAL_US, now)
    await _pour(session, account, ACCOUNT_INTERVAL_US, now)


async def forget_account(session: AsyncSession, email: str) -> None:
    """After the right password: earlier slips do not count any more."""
    await session.execute(delete(LoginBucket).where(LoginBucket.key == account_key(email)))


def account_key(email: str) -> str:
    """A hash: people type passwords into the wrong field."""
    return "account:" + hashlib.sha256(email.encode("utf-8", "replace")).hexdigest()


def address_key(ip: str) -> str:
    """IPv6 counts by /64: one machine has all of it."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "ip:unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return f"ip:{address.ipv4_mapped}"
        return f"ip:{ipaddress.ip_network((int(address), 64), strict=False)}"
    return f"ip:{address}"


async def _wait(session: AsyncSession, key: str, burst: int, interval_us: int, now: int) -> int:
    full_us = await session.scalar(select(LoginBucket.full_us).where(LoginBucket.key == key))
    return max(0, (full_us or 0) - now - (burst - 1) * interval_us)


async def _is_known(session: AsyncSession, user_id: int, ip: str, now: int) -> bool:
    statement = (
        select(LoginSession.id)
        .where(LoginSession.user_id == user_id, LoginSession.ip == ip)
        .where(LoginSession.created_us > now - KNOWN_ADDRESS_US)
        .limit(1)
    )
    return await session.scalar(statement) is not None


async def _pour(session: AsyncSession, key: str, interval_us: int, now: int) -> None:
    moved = await session.scalar(
        update(LoginBucket)
        .where(LoginBucket.key == key)
        .values(full_us=LoginBucket.full_us + interval_us)
        .returning(LoginBucket.key)
    )
    if moved is None:
        await session.execute(insert(LoginBucket).values(key=key, full_us=now + interval_us))
