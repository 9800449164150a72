# SPDX-License-Identifier: Apache-2.0
"""Hides secrets in values and texts: by the name of a key, and by what a value looks like.

Pure functions without I/O, used before anything is written. What a value looks like is in
`redact_rules`.
"""

import itertools
import re
from typing import cast

from queuedeck_agent.redact_rules import CARD, Rule, find_rules

REDACTED_KEY = "~redacted"
"""A hidden value is `{"~redacted": "<rule>"}`; inside a text it is `[redacted: <rule>]`."""

MIN_LENGTH = 8
"""Shorter strings are never searched: no pattern below matches less."""

MIN_BARE_LENGTH = 13
"""Shorter ones can only match with a `:` or `=` in them: `pwd=abcd`, `ftp://a:b@c`."""

MAX_DEPTH = 32
"""`redact_value` hides what is nested deeper; the agent's own capture stops long before."""


def marker(rule: str) -> dict[str, str]:
    """What stands in place of a whole hidden value."""
    return {REDACTED_KEY: rule}


# --- Names of keys -----------------------------------------------------------------------------

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_RULE_OF_WORD = {
    "password": "password", "passwd": "password", "pwd": "password", "passphrase": "password",
    "passcode": "password", "pass": "password", "pw": "password", "pin": "password",
    "otp": "password", "token": "token", "jwt": "token", "bearer": "token", "csrf": "token",
    "xsrf": "token", "authorization": "token", "auth": "token", "cookie": "token",
    "cookies": "token", "sessionid": "token", "secret": "secret", "secrets": "secret",
    "credential": "secret", "credentials": "secret", "dsn": "secret", "apikey": "key",
    "cvv": "card", "cvc": "card", "ssn": "secret", "iban": "account", "creds": "secret",
    "puk": "password", "mnemonic": "secret", "passwort": "password", "kennwort": "password",
    "geheimnis": "secret", "senha": "password", "contrasena": "password", "contrase": "password",
}  # fmt: skip
_RULE_OF_PAIR = {
    ("api", "key"): "key", ("access", "key"): "key", ("private", "key"): "key",
    ("secret", "key"): "key", ("encryption", "key"): "key", ("signing", "key"): "key",
    ("auth", "key"): "key", ("account", "key"): "key", ("license", "key"): "key",
    ("master", "key"): "key", ("session", "key"): "token", ("session", "id"): "token",
    ("card", "number"): "card", ("credit", "card"): "card", ("security", "code"): "card",
    ("connection", "string"): "secret", ("conn", "str"): "secret", ("hmac", "key"): "key",
    ("deploy", "key"): "key", ("ssh", "key"): "key", ("cc", "number"): "card",
    ("account", "number"): "account", ("bank", "account"): "account",
    ("routing", "number"): "account", ("passport", "number"): "secret", ("tax", "id"): "secret",
    ("social", "security"): "secret", ("mfa", "code"): "password", ("recovery", "code"): "password",
    ("recovery", "codes"): "password", ("backup", "codes"): "password",
    ("seed", "phrase"): "secret", ("magic", "link"): "token",
}  # fmt: skip
_GLUED = {
    "password": "password", "passwd": "password", "passphrase": "password", "apikey": "key",
    "secretkey": "key", "privatekey": "key", "accesskey": "key", "accesstoken": "token",
    "authtoken": "token", "refreshtoken": "token", "idtoken": "token", "apitoken": "token",
    "clientsecret": "secret", "cardnumber": "card", "sessionid": "token", "sessid": "token",
    "motdepasse": "password",
}  # fmt: skip
_RULE_OF_NAME = {
    "session": "token", "pan": "card", "cardpan": "card", "ccnum": "card", "rootpw": "password",
}  # fmt: skip
"""Only when they are the whole name: a `session_name` is harmless."""
_HARMLESS_LAST = frozenset({
    "count", "type", "limit", "length", "len", "size", "usage", "expires", "expiry", "expiration",
    "ttl", "budget", "rule", "policy", "at", "age", "enabled", "required", "changed", "url",
    "method", "provider", "backend", "name", "status", "version",
})  # fmt: skip
"""`token_count` and `password_changed_at` speak about a secret and hold none."""

OPERATORS_RULE = "name"
"""Of names that the operator added: no task can show those."""
_extra_names: set[str] = set()
_MAX_CACHED_KEYS = 4096
_MAX_KEY = 128
_rule_of_key: dict[str, str] = {}
harmless_keys: set[str] = set()
"""Keys that were judged and hide nothing; bounded, for fast tests."""
LONG_KEY = 20
"""Keys this long may be secrets themselves, and are searched like values."""


def key_rule(key: str) -> str:
    """The rule that hides the value of this key, or an empty string. Cached: names repeat."""
    rule = _rule_of_key.get(key)
    if rule is None:
        rule = _judge_key(key[:_MAX_KEY])
        if len(_rule_of_key) < _MAX_CACHED_KEYS and len(key) <= _MAX_KEY:
            _rule_of_key[key] = rule
            if not rule:
                harmless_keys.add(key)
    return rule


def hide_names(names: tuple[str, ...]) -> None:
    """Adds names of keys that the host's operator wants hidden; case and `_`, `-` do not matter."""
    _extra_names.update(_plain(name) for name in names)
    _rule_of_key.clear()
    harmless_keys.clear()


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _judge_key(key: str) -> str:
    if _extra_names and _plain(key) in _extra_names:
        return OPERATORS_RULE
    words = [word.lower() for word in _WORDS.findall(key)]
    if not words or words[-1] in _HARMLESS_LAST:
        return ""
    for pair in itertools.pairwise(words):
        if pair in _RULE_OF_PAIR:
            return _RULE_OF_PAIR[pair]
    for word in words:
        if word in _RULE_OF_WORD:
            return _RULE_OF_WORD[word]
    glued = "".join(words)
    if glued in _RULE_OF_NAME:
        return _RULE_OF_NAME[glued]
    return next((rule for part, rule in _GLUED.items() if part in glued), "")


# --- Values and texts ---------------------------------------------------------------------------


def redact_text(text: str) -> str:
    """The text with each secret replaced by `[redacted: <rule>]`."""
    if len(text) < MIN_LENGTH:
        return text
    for rule in find_rules(text):
        text = _hide(rule, text)
    return text


def redact_value(value: object) -> object:
    """A copy of a JSON-like value (dict, list, str, numbers) with secrets replaced by markers."""
    return _redact(value, None, MAX_DEPTH)


def apply_rules(rules: list[Rule], value: object) -> object:
    """Like `redact_value`, for a copy whose keys were judged already: only these rules run."""
    return _redact(value, rules, MAX_DEPTH)


def _hide(rule: Rule, text: str) -> str:
    group = "secret" if "secret" in rule.pattern.groupindex else 0

    def replace(match: re.Match[str]) -> str:
        if rule.accept is not None and not rule.accept(match):
            return match.group()
        whole, start = match.group(), match.start()
        first, last = match.span(group)
        if first < 0:
            first, last = match.span()
        return f"{whole[: first - start]}[redacted: {rule.name}]{whole[last - start :]}"

    return rule.pattern.sub(replace, text)


def _redact(value: object, rules: list[Rule] | None, depth: int) -> object:
    if isinstance(value, str):
        return _redact_string(value, rules)
    if isinstance(value, dict):
        if depth == 0:
            return marker("depth")
        return _redact_dict(cast("dict[object, object]", value), rules, depth - 1)
    if isinstance(value, (list, tuple)):
        if depth == 0:
            return marker("depth")
        return [_redact(item, rules, depth - 1) for item in cast("list[object]", value)]
    if isinstance(value, int) and abs(value) >= 10**12:
        text = str(value) if value.bit_length() <= 64 else ""
        return value if _redact_string(text, rules) == text else marker(CARD.name)
    return value


def _redact_dict(
    value: dict[object, object], rules: list[Rule] | None, depth: int
) -> dict[str, object]:
    copy: dict[str, object] = {}
    for key, item in value.items():
        name = key if isinstance(key, str) else str(key)
        rule = key_rule(name) if rules is None and name != REDACTED_KEY else ""
        if rule and not isinstance(item, bool) and item not in (None, ""):
            already = isinstance(item, dict) and REDACTED_KEY in item
            copy[name] = cast("object", item) if already else marker(rule)
            continue
        shown = _redact_string(name, rules) if len(name) >= LONG_KEY else name
        copy[shown if isinstance(shown, str) else "[redacted]"] = _redact(item, rules, depth)
    return copy


def _redact_string(text: str, rules: list[Rule] | None) -> object:
    """The string, the string with hidden parts, or the marker when all of it is the secret."""
    if len(text) < MIN_LENGTH:
        return text
    for rule in find_rules(text) if rules is None else rules:
        hidden = _hide(rule, text)
        if hidden == f"[redacted: {rule.name}]":
            return marker(rule.name)
        text = hidden
    return text
