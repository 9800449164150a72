# SPDX-License-Identifier: Apache-2.0
"""What secrets look like. Each pattern is linear in the text: bounded repeats, none inside another.

A pattern runs only when a plain look found its needle; `find_rules` is that look.
"""

import re
from collections.abc import Callable
from typing import NamedTuple


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


_NOT_SECRET = frozenset({
    "none", "null", "true", "false", "undefined", "str", "string", "...", "required", "optional",
    "invalid", "missing", "expired", "incorrect", "wrong", "changed", "reset", "failed", "empty",
    "hidden", "unknown", "this", "must", "is", "was", "not", "the", "too", "should", "cannot",
    "may",
})  # fmt: skip
_EXPRESSION = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|[A-Za-z_]+(?:\.[A-Za-z_]+)*[(\[].*")
_MARKED = re.compile(r"\[redacted:?.*|\{[A-Za-z_.]*")


def _is_assigned(match: re.Match[str]) -> bool:
    """Not `password=None`, `token=self.token` or `password=password`: those are source code; nor
    `password: required`, which is prose."""
    found, word = match.group("secret"), match.group("word").lower()
    value = found.strip("\\\"'")
    lower = value.lower().rstrip(".")
    if lower in _NOT_SECRET or lower == word or _MARKED.fullmatch(value):
        return False
    if found[0] not in "\\\"'" and _EXPRESSION.fullmatch(value):
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
_URL_KEY = Rule("url password", re.compile(r"://(?P<secret>[A-Za-z0-9_-]{20,256})@"), _has_digit)
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
_WEBHOOK = Rule(
    "token",
    re.compile(r"(?:/api/webhooks/[0-9]{5,25}/|/webhookb2/)(?P<secret>[A-Za-z0-9@_-]{12,255})"),
)
_PREFIXED = Rule(
    "token",
    re.compile(
        r"(?<![A-Za-z0-9])(?:(?:glpat-|glrt-|glsa_|npm_|pypi-|hf_|dop_v1_|shpat_|shpss_|ya29\.|AIza"
        r"|sk-|[srp]k_(?:live|test)_|whsec_|SG\.|dckr_pat_|sntrys_|qd_agt_|qd_pat_|hvs\.|GOCSPX-"
        r"|AGE-SECRET-KEY-)[A-Za-z0-9_.=+/-]{16,512}|(?:SK|dapi|key-)[0-9a-f]{32}(?![A-Za-z0-9]))"
    ),
)
_TELEGRAM = Rule("token", re.compile(r"(?<![0-9])[0-9]{6,12}:AA[A-Za-z0-9_-]{30,64}"))
_DISCORD = Rule(
    "token",
    re.compile(_START + r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,64}"),
)
_BEARER = Rule(
    "bearer",
    re.compile(
        r"\b(?:Bearer|Basic)[ \t]{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{8,4096})", re.IGNORECASE
    ),
    _is_random,
)
_KEY_WORD = (
    r"(?P<word>pass(?:word|wd|phrase|code|wort)|pwd|secret(?:[_-]?(?:key|access[_-]?key))?"
    r"|(?:api|access|private|signing|encryption|account)[_-]?key|token|authorization|credentials?"
    r"|client[_-]?secret|sessionid|cookie|kennwort)"
)
_ASSIGNED = Rule(
    "secret",
    re.compile(
        _KEY_WORD + r"[\\\"']{0,3}\]?[ \t]{0,3}(?::[ \t]{0,3}(?:str|bytes|SecretStr)[ \t]{1,3})?"
        r"(?:=>|:=|=(?!=)|:)[ \t]{0,3}(?:(?:Basic|ApiKey|Token)[ \t]{1,3})?b?"
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
_SIGNED = Rule(
    "signature",
    re.compile(r"(?i:\bsig|signature)=(?P<secret>[A-Za-z0-9%+/=_-]{16,512})"),
    _has_digit,
)
_LOGIN = Rule(
    "password",
    re.compile(
        r"(?:\bauth[ ]?=[ ]?\([ ]?[\"'][^\"'\n]{0,128}[\"'],[ ]?b?[\"']|[ ]-u[ ]?[^\s:]{1,64}:"
        r"|\bmysql[a-z]{0,8}[ ][^\n]{0,128}?[ ]-p)(?P<secret>[^\s\"']{4,256})"
    ),
)
"""`auth=("bob", "...")`, `curl -u bob:...`, `mysql -u bob -p...`."""
CARD = Rule("card number", re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]\d|\w)"), _luhn)

_PREFIXES = (
    "-----BEGIN", "eyJ", "AKIA", "ASIA", "ABIA", "ACCA", "AIza", "AGE-S", "gh[pousr]_",
    "github_pat_", "glpat-", "glrt-", "glsa_", "xox", "xapp-", "hooks.slack", "npm_", "pypi-",
    "hf_", r"hvs\.", "dop_v1_", "dckr_", "dapi", "shp", "sk-", "sntrys_", "ya29", "k_live_",
    "k_test_", "whsec_", r"SG\.", "SK[0-9a-f]{6}", "qd_", "GOCSPX", "key-[0-9a-f]{6}", ":AA",
    r"\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
)  # fmt: skip
_WORDS = (
    "pass", "pwd", "secret", "token", "key", "authorization", "auth ?=", "credential", "cookie",
    "sessionid", "signature", "sig=", "bearer", "basic ", "kennwort", "webhook", " -u", "mysql", "://",
)  # fmt: skip


def _any_of(*needles: str) -> re.Pattern[str]:
    """One pattern for all, grouped by their first letter: at most places in a text only that is
    looked at."""
    groups: dict[str, list[str]] = {}
    for one in needles:
        first = one[:2] if one[0] == "\\" else one[0]
        groups.setdefault(first, []).append(one[len(first) :])
    return re.compile("|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in groups.items()))


_HINT = _any_of(*_PREFIXES)
"""One cheap look for all prefixes; what follows it tells which rules to run."""
_NEEDLES: tuple[tuple[tuple[str, ...], Rule], ...] = (
    (("-----BEGIN",), _PEM),
    (("eyJ",), _JWT),
    (("AKIA", "ASIA", "ABIA", "ACCA"), _AWS),
    (("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), _GITHUB),
    (("xox", "xapp-", "hooks.slack"), _SLACK),
    ((":AA",), _TELEGRAM),
    (("M", "N", "O"), _DISCORD),
)
_WORD_HINT = _any_of(*_WORDS)
_ANY_HINT = _any_of(*(one.lower() for one in _PREFIXES), *_WORDS)
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
            rules += _by_word(low)
    if _DIGIT_RUN.search(text):
        rules.append(CARD)
    return rules


def _by_word(low: str) -> list[Rule]:
    rules: list[Rule] = []
    if "bearer" in low or "basic " in low:
        rules.append(_BEARER)
    if "://" in low and "@" in low:
        rules += (_URL, _URL_KEY)
    if "webhook" in low:
        rules.append(_WEBHOOK)
    if "sig=" in low or "signature=" in low:
        rules.append(_SIGNED)
    if " -u" in low or "mysql" in low or "auth" in low:
        rules.append(_LOGIN)
    return [*rules, _ASSIGNED, _AFTER_WORD]
