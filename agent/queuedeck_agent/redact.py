# SPDX-License-Identifier: Apache-2.0
"""Hides secrets in values and texts: by the name of a key, and by what a value looks like.

Pure functions without I/O, used by the agent before the spool and by the server once more. Each
pattern is linear in the text and runs only after a plain substring test found its needle.
"""

import itertools
import re
from collections.abc import Callable
from typing import NamedTuple, cast

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
    "cvv": "card", "cvc": "card", "ssn": "secret",
}  # fmt: skip
_RULE_OF_PAIR = {
    ("api", "key"): "key", ("access", "key"): "key", ("private", "key"): "key",
    ("secret", "key"): "key", ("encryption", "key"): "key", ("signing", "key"): "key",
    ("auth", "key"): "key", ("account", "key"): "key", ("license", "key"): "key",
    ("master", "key"): "key", ("session", "key"): "token", ("session", "id"): "token",
    ("card", "number"): "card", ("credit", "card"): "card", ("security", "code"): "card",
    ("connection", "string"): "secret",
}  # fmt: skip
_GLUED = {
    "password": "password", "passwd": "password", "passphrase": "password", "apikey": "key",
    "secretkey": "key", "privatekey": "key", "accesskey": "key", "accesstoken": "token",
    "authtoken": "token", "refreshtoken": "token", "idtoken": "token", "apitoken": "token",
    "clientsecret": "secret", "cardnumber": "card",
}  # fmt: skip
_HARMLESS_LAST = frozenset({
    "count", "type", "limit", "length", "len", "size", "usage", "expires", "expiry", "expiration",
    "ttl", "budget", "rule", "policy", "at", "age", "enabled", "required", "changed", "url",
})  # fmt: skip
"""`token_count` and `password_changed_at` speak about a secret and hold none."""

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
        return "name"
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
    return next((rule for part, rule in _GLUED.items() if part in glued), "")


# --- What a value looks like -------------------------------------------------------------------


class Rule(NamedTuple):
    """One pattern. Group `secret`, if the pattern has it, is the part that is hidden."""

    name: str
    pattern: re.Pattern[str]
    accept: Callable[[re.Match[str]], bool] | None = None
    """Asked about each match; None accepts all."""


def _luhn(match: re.Match[str]) -> bool:
    digits = [int(char) for char in match.group() if char.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


_NOT_SECRET = frozenset({"none", "null", "true", "false", "undefined", "str", "string", "..."})
_EXPRESSION = re.compile(r"[A-Za-z_][A-Za-z_]*(?:\.[A-Za-z_]+)+\(?|\[redacted:?|\{[A-Za-z_.]*")


def _is_assigned(match: re.Match[str]) -> bool:
    """Not `password=None`, `token=self.token` or `password=password`: those are source code."""
    value, word = match.group("secret").strip("\\\"'"), match.group("word").lower()
    lower = value.lower()
    if lower in _NOT_SECRET or lower == word or _EXPRESSION.fullmatch(value):
        return False
    return "pass" in word or "pwd" in word or len(value) >= 6


def _has_digit(match: re.Match[str]) -> bool:
    return any(char.isdigit() for char in match.group("secret"))


def _is_random(match: re.Match[str]) -> bool:
    return _has_digit(match) or len(match.group("secret")) >= 20


_START = r"(?<![A-Za-z0-9_-])"
_PEM = Rule(
    "private key",
    re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"[\s\S]*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)"
    ),
)
_URL = Rule("url password", re.compile(r"://[^\s/@:]{0,256}:(?P<secret>[^\s/@]{1,512})@"))
_JWT = Rule(
    "jwt", re.compile(_START + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}")
)
_AWS = Rule(
    "aws key", re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])")
)
_GITHUB = Rule(
    "token",
    re.compile(
        r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255})"
    ),
)
_SLACK = Rule(
    "token",
    re.compile(
        r"(?<![A-Za-z0-9])(?:xox[a-z]-[A-Za-z0-9-]{10,255}|xapp-[A-Za-z0-9-]{10,255})"
        r"|hooks\.slack\.com/(?:services|workflows)/(?P<secret>[A-Za-z0-9/_+-]{12,255})"
    ),
)
_PREFIXED = Rule(
    "token",
    re.compile(
        r"(?<![A-Za-z0-9])(?:glpat-|glrt-|npm_|pypi-|hf_|dop_v1_|shpat_|shpss_|ya29\.|AIza|sk-"
        r"|[srp]k_(?:live|test)_|whsec_|SG\.|dckr_pat_|sntrys_|qd_agt_|qd_pat_)"
        r"[A-Za-z0-9_.=+/-]{16,512}"
    ),
)
_BEARER = Rule(
    "bearer",
    re.compile(r"\bBearer[ \t]{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{8,4096})", re.IGNORECASE),
    _is_random,
)
_KEY_WORD = (
    r"(?P<word>pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?(?:key|access[_-]?key))?"
    r"|(?:api|access|private|signing|encryption|account)[_-]?key|token|authorization|credentials?"
    r"|client[_-]?secret|sessionid|cookie)"
)
_ASSIGNED = Rule(
    "secret",
    re.compile(
        _KEY_WORD + r"[\\\"']{0,3}[ \t]{0,3}(?:=>|[:=])[ \t]{0,3}(?:Basic[ \t]{1,3})?b?"
        r"(?P<secret>\\?\"[^\"\n]{1,1024}\"?|'[^'\n]{1,1024}'?|[^\s\"'&,;)}\]]{1,1024})",
        re.IGNORECASE,
    ),
    _is_assigned,
)
_AFTER_WORD = Rule(
    "secret",
    re.compile(
        r"(?:key|token|secret|password|signature)[ \t]{1,3}(?:(?:is|was)[ \t]{1,3})?[\"']?"
        r"(?P<secret>[A-Za-z0-9+/_-]{20,512}={0,2})",
        re.IGNORECASE,
    ),
    _has_digit,
)
_CARD = Rule("card number", re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]\d|\w)"), _luhn)

_HINT = re.compile(
    "-----BEGIN|eyJ|A(?:KIA|SIA|BIA|CCA|Iza)|gh[pousr]_|github_pat_|xox|xapp-|hooks.slack|gl(?:pat|rt)-"
    "|npm_|pypi-|hf_|dop_v1_|shp|ya29|sk-|k_(?:live|test)_|whsec_|SG\\.|dckr_|sntrys_|qd_"
)
"""One cheap look for all prefixes; what follows it tells which rules to run."""
_NEEDLES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (("-----BEGIN",), _PEM),
    (("eyJ",), _JWT),
    (("AKIA", "ASIA", "ABIA", "ACCA"), _AWS),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), _GITHUB),
    (("xox", "xapp-", "hooks.slack"), _SLACK),
)
_WORD_HINT = re.compile(
    "pass|pwd|secret|token|key|authorization|credential|cookie|sessionid|signature|bearer|://"
)
_ANY_HINT = re.compile(f"{_HINT.pattern.lower()}|{_WORD_HINT.pattern}")
"""Finds at least what those two find, in the text in small letters: mostly nothing."""
_DIGIT_RUN = re.compile(r"\d[\d -]{11}\d")


def find_rules(text: str) -> list[Rule]:
    """The rules that might match: usually none, and then no pattern runs at all."""
    rules: list[Rule] = []
    if not text:
        return rules
    low = text.lower()
    if _ANY_HINT.search(low):
        if _HINT.search(text):
            rules = [rule for needles, rule in _NEEDLES if any(one in text for one in needles)]
            rules.append(_PREFIXED)
        if _WORD_HINT.search(low):
            if "bearer" in low:
                rules.append(_BEARER)
            if "://" in low and "@" in low:
                rules.append(_URL)
            rules += (_ASSIGNED, _AFTER_WORD)
    if _DIGIT_RUN.search(text):
        rules.append(_CARD)
    return rules


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
        return value if _redact_string(text, rules) == text else marker(_CARD.name)
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
