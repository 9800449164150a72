# SPDX-License-Identifier: Apache-2.0
"""The Flask extension: `Queuedeck(app)`, or `Queuedeck().init_app(app)` in a factory."""

from typing import Any

import flask
from flask import signals

from queuedeck_agent import request as requests
from queuedeck_agent.frameworks import attaching
from queuedeck_agent.guard import contained

_PREFIX = "QUEUEDECK_"
_KEY = "_queuedeck_request"


class Queuedeck:
    """Reads `QUEUEDECK_...` of the application's config, where no variable says otherwise.

    QUEUEDECK_USER: a function of the request that gives the id of its user; True for the user that
    Flask-Login has loaded.
    """

    def __init__(self, app: flask.Flask | None = None) -> None:
        self._user: attaching.User | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Puts hooks in place; the agent starts with the first request or task."""
        app.extensions["queuedeck"] = self
        self._configure(app)
        attaching.attach()
        # Contexts and not requests: Flask copies a context into the threads of an application.
        for signal, receiver in (
            (signals.appcontext_pushed, self._begins),
            (signals.appcontext_tearing_down, self._ends),
            (signals.request_started, self._serves),
        ):
            signal.connect(receiver, sender=app, weak=False)

    @contained
    def _configure(self, app: flask.Flask) -> None:
        own = {
            str(name).removeprefix(_PREFIX): value
            for name, value in app.config.items()
            if str(name).startswith(_PREFIX)
        }
        user = own.pop("USER", None)
        chosen = _login_user if user is True else user
        self._user = attaching.checked_user(chosen, "Flask's QUEUEDECK_USER")
        attaching.configure(own, "Flask's config")

    def _serves(self, _app: flask.Flask, **_: Any) -> None:
        attaching.serve()

    @contained
    def _begins(self, _app: flask.Flask, **_: Any) -> None:
        setattr(flask.g, _KEY, requests.begin(_route, self._user and self._user_of_request))

    @contained
    def _ends(self, _app: flask.Flask, **_: Any) -> None:
        one = flask.g.pop(_KEY, None)
        if one is not None:
            one.end()

    def _user_of_request(self) -> object:
        if self._user is None or not flask.has_request_context():
            return None
        return self._user(flask.request)


def _route() -> str:
    """Empty in a context without a request (a command), and where no rule matches."""
    if not flask.has_request_context() or flask.request.url_rule is None:
        return ""
    return requests.named(flask.request.method, flask.request.url_rule.rule)


def _login_user(_request: object) -> object:
    """The user that Flask-Login has loaded for this request; loads none itself."""
    user = flask.g.get("_login_user")
    return user.get_id() if user is not None and user.is_authenticated else None
