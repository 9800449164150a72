# SPDX-License-Identifier: Apache-2.0
"""The Queuedeck agent. Importing this package does nothing; `autoload` attaches by itself.

Where that cannot be, an application calls `attach`. A task may say more of itself: see `progress`
and `tag`. Outside of a task, or without an agent, both do nothing. None of the three raises.
"""


def attach(dsn: "str | None" = None, **settings: object) -> None:
    """Attaches to every engine that this process has imported or will import: for programs in
    which Python does not read the files of installed packages (a zip file, a frozen program,
    `python -S`). Call it in the module that makes the application, before or after it is made.

    `settings` are the agent's, in small letters and without `QUEUEDECK_`: `release="7c1f"`,
    `allow=["observe", "retry"]`. Variables of the environment go before them. In tools that only
    look or prepare, without a DSN, and when called again, it does nothing.
    """
    from queuedeck_agent.frameworks import attaching

    given = {name.upper(): value for name, value in settings.items()}
    attaching.configure({"DSN": dsn, **given}, "attach()")
    attaching.attach()


def progress(current: float, total: "float | None" = None, message: str = "") -> None:
    """How far the running task is, shown on its page. Call it as often as you like: about one
    report a second is sent, and the last one always."""
    from queuedeck_agent import reporting

    reporting.progress(current, total, message)


def tag(*tags: str) -> None:
    """Puts tags on the running task, by which it can be found: up to 20, of up to 64 characters."""
    from queuedeck_agent import reporting

    reporting.tag(tags)
