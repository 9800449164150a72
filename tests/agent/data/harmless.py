# SPDX-License-Identifier: AGPL-3.0-only
"""Values that hold no secret and must stay readable, among them what resembles one most."""

import base64
import random
import string
from typing import Any

_HEX = "0123456789abcdef"

KEYS: dict[str, Any] = {
    "token_count": 512, "max_tokens": 4096, "prompt_tokens": 12, "completion_tokens": 30,
    "total_tokens": 42, "tokens": 17, "tokens_used": 9, "token_limit": 100, "token_type": "bearer",
    "tokenizer": "cl100k", "tokenize": True, "tokenized": ["a", "b"], "n_tokens": 4,
    "key": "orders/7", "primary_key": 7, "foreign_key": "user_id", "sort_key": "name",
    "partition_key": "2026-11", "cache_key": "user:7:cart", "routing_key": "shop.orders",
    "row_key": "r7", "keys": ["a", "b"], "keyboard": "qwertz", "keyword": "shoes", "monkey": "ape",
    "idempotency_key_prefix": "pay", "key_name": "id", "public_key_id": 3, "s3_key": "in/a.csv",
    "lookup_key": "sku", "object_key": "img/7.png", "translation_key": "cart.empty",
    "turkey": "bird",
    "author": "Jane Roe", "authors": ["A", "B"], "authored_by": "jane", "authority": "city hall",
    "author_id": 7, "authorized": True, "authorised_by": "jane", "authentic": "yes",
    "is_authenticated": True, "coauthor": "Max", "auth_method": "oauth", "auth_type": "basic",
    "passenger": "Max Muster", "passengers": 3, "passed": 12, "passes": 4, "compass": "north",
    "bypass": False, "passive": "yes", "passport_required": True, "tests_passed": 90,
    "password_changed_at": "2026-11-21", "password_policy": "strict", "password_length": 12,
    "password_required": True, "password_reset_url": "https://example.com/reset",
    "encompass": "all",
    "secretary": "Erika", "secretariat": "room 7", "secretary_id": 9, "secret_count": 3,
    "session_length": 40, "session_count": 3, "sessions": 7, "session_name": "keynote",
    "session_type": "talk", "pinned": "yes", "pineapple": "fruit", "pinecone": "tree",
    "shipping": "dhl", "spinner": "on", "pin_count": 2, "opinion": "good", "pint": "beer",
    "cookie_policy": "strict", "cookies_accepted": True, "cookie_count": 3, "card": "yes",
    "card_type": "visa", "card_brand": "visa", "cardinality": 7, "discard": "no", "cardio": "run",
    "panel": "left", "panda": "bear", "company": "ACME", "expand": "all", "japan": "tokyo",
    "accountant": "Max", "account_id": 77, "account_name": "main", "account_type": "gold",
    "ibanez": "guitar", "tax_rate": 0.19, "tax": 3.5, "region": "eu-west", "assign": "bob",
    "design": "flat", "signal": "SIGTERM", "signature_count": 3, "assignee": "bob",
    "option": "x", "adoption": "dog", "optics": "lens", "otpional": "no", "lesson": "3",
    "mission": "go", "session_started_at": "2026-11-21T10:00", "hash": "d41d8cd98f00b204e9800998",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "md5": "9e107d9d372bb6826bd81d3542a419d6", "etag": "5d8c72a5edda8d6a", "checksum": "crc32:1a2b",
    "credit": 5, "credits": 100, "credit_limit": 500, "security": "high", "security_level": 3,
    "code": "DE", "country_code": "DE", "error_code": "E77", "zip_code": "10115",
    "status_code": 200,
    "discount_code": "SUMMER", "product_code": "P-77", "license": "MIT", "license_type": "MIT",
    "access": "public", "access_level": 3, "access_log": "on", "accessed_at": "2026-11-21",
    "private": False, "client": "web", "client_id": "shop-web", "client_name": "web",
    "webhook_id": 7, "webhook_name": "orders", "connection": "keep-alive", "connection_count": 3,
    "string": "text", "number": 7, "order_number": "R-2026-0077", "invoice_number": "77-1",
    "phone_number": "+49 30 123456", "house_number": "7a", "route_number": "17", "seed": 42,
    "recovery": "auto", "recovery_mode": "full", "phrase": "hello world", "mfa_enabled": True,
    "magic": "wand", "link": "https://example.com/a", "machine": "a1", "senhor": "Silva",
    "basic": "plan a", "bearings": 3, "forbearance": "yes", "token_expires_at": "2026-12-01",
    "secret_santa": "Erika", "keynote": "opening", "hockey": "puck", "jockey": "Max",
    "surpass": "yes", "passage": "3rd", "passion": "music", "cookiecutter": "template",
}  # fmt: skip
"""Names that resemble a secret's name, each with a value."""

SENTENCES = """
The secretary passed the tokenizer a bearer of news.
Please reset your password before Friday.
Your password must have twelve characters.
Password is too short, try another one.
Passwords do not match, nothing was changed.
The token was refused because it has expired.
A token is a small coin, or a word in a text.
This key does not fit the lock of the door.
The key to success is patience and practice.
Which key opens the storage room downstairs?
Keep it secret until the party on Saturday.
The secret ingredient is a little cinnamon.
Secret Santa: draw a name before Monday.
Press any key to continue with the set-up.
The cookie jar is empty, who ate the cookies?
Cookies: we only use what is necessary.
A session of the council takes two hours.
The session was closed by the chairman.
His signature is missing on page three.
She plays the keyboard and he plays drums.
Das Passwort wurde geändert, bitte neu anmelden.
Bitte das Passwort nicht an andere weitergeben.
Passwort vergessen? Ein Link kommt per E-Mail.
Der Schlüssel liegt unter der Fußmatte.
Das Token ist abgelaufen und wird erneuert.
Ein Token je Wort, höchstens viertausend.
Das Geheimnis des Erfolgs ist Geduld.
Die Sekretärin hat den Pass des Fahrgasts kopiert.
Der Kompass zeigt nach Norden, der Pass ist gesperrt.
Die Sitzung dauert zwei Stunden und ist öffentlich.
Der Autor schreibt das Kennwort auf einen Zettel.
Bitte Vertraulichkeit wahren: nichts ist geheim.
KeyError: 'user_id'
KeyError: 'token'
Missing key: user_id
Invalid key: expected str, got int
unexpected token: EOF at line 7
SyntaxError: unexpected token: ')'
JSONDecodeError: Expecting property name: line 1 column 2
password: required
password: this field may not be blank
token: This field is required.
secret: not set
password=None, token=self.token
password=password, token=token
api_key=settings.API_KEY
api_key=os.environ["API_KEY"]
token = get_token(user)
password = getpass.getpass()
secret = config.get("secret")
token: str | None = None
def login(user: str, password: str) -> None:
if password == confirmation:
self.password = hash_password(value)
max_tokens=4096 prompt_tokens: 12
cache key: user:7:cart
sort key = created_at
primary key is (tenant, id)
foreign key: orders.user_id
duplicate key value violates unique constraint "users_pkey"
the bearer of this letter may enter
Bearer tokens are accepted by this API
Basic plan: 9.99 per month
author: Jane Roe <jane@example.com>
Authorization: required
authorization failed for user bob
compass: north, bypass: off
passed: 12, failed: 0, skipped: 3
2 passed, 1 warning in 0.03s
SKU-1001-RED, SKU-2040-BLU
skip-this-and-that-and-everything-else
risk-assessment-of-the-second-quarter
task-based-scheduling-for-everyone
ask-me-anything-about-scheduling
desk-lamp-with-three-brightness-levels
flask-sqlalchemy-and-friends-release
npm_config_registry and npm_lifecycle_event
pypi-server-mirror and hf_hub_download
glpattern and xoxo from grandma with love
https://example.com/a?b=c@d
https://example.com/~jane:home/a@b
mailto:jane@example.com?subject=hello
urn:isbn:0451450523
""".strip().splitlines()
"""Prose in two languages, messages and source with the words of secrets in them."""


def all_harmless(seed: int = 7717) -> list[Any]:
    """At least a thousand values, the same each time."""
    make = random.Random(seed)
    values: list[Any] = [{key: value} for key, value in KEYS.items()]
    values += SENTENCES
    for form in FORMS:
        values += [form(make) for _ in range(27)]
    return values


def _of(make: random.Random, alphabet: str, size: int) -> str:
    return "".join(make.choices(alphabet, k=size))


def _digits(make: random.Random, size: int) -> str:
    return make.choice("123456789") + _of(make, string.digits, size - 1)


def _uuid(make: random.Random) -> str:
    return "-".join(_of(make, _HEX, size) for size in (8, 4, 4, 4, 12))


def _no_card(make: random.Random) -> str:
    """Sixteen digits whose check digit is wrong."""
    digits = make.choice("3456") + _digits(make, 14)
    doubled = [int(one) * 2 - 9 * (int(one) > 4) for one in digits[::-1][::2]]
    check = (1 - sum(doubled) - sum(int(one) for one in digits[::-1][1::2])) % 10
    return digits + str(check)


def _email(make: random.Random) -> str:
    names = ("anna", "secret.agent", "keymaster", "token.ring", "jane+pass", "otto")
    return f"{make.choice(names)}{make.randrange(99)}@example.com"


def _name(make: random.Random) -> str:
    head = make.choice(("shop", "accounts", "passes", "keys", "auth", "secrets"))
    tail = make.choice(("send_token_mail", "rotate_keys", "reset_password", "pay", "tokenize"))
    return f"{head}.tasks.{tail}_{make.randrange(99)}"


def _url(make: random.Random) -> str:
    path = make.choice(("orders", "keys", "token/refresh", "password/reset", "sessions"))
    return f"https://shop{make.randrange(9)}.example.com:8443/{path}/{make.randrange(999)}?page=2"


def _trace(make: random.Random) -> str:
    line = make.choice(("token = make_token()", "check(password)", "raise KeyError(key)"))
    return f'File "/srv/shop/auth.py", line {make.randrange(900)}, in login\n    {line}'


def _thumbnail(make: random.Random) -> str:
    data = base64.b64encode(make.randbytes(90)).decode()
    return f"data:image/png;base64,iVBORw0KGgo{data}"


def _date(make: random.Random) -> str:
    day = f"2026-{make.randrange(1, 13):02}-{make.randrange(1, 29):02}"
    return f"{day}T10:{make.randrange(60):02}:07.123456+00:00"


FORMS = (
    _uuid, _no_card, _email, _name, _url, _trace, _thumbnail, _date,
    lambda make: int(_no_card(make)),
    lambda make: f"ord_{_of(make, _HEX, 8)}",
    lambda make: f"task-{_uuid(make)}",
    lambda make: _of(make, _HEX, 40),
    lambda make: f"commit {_of(make, _HEX, 40)}",
    lambda make: f"sha256:{_of(make, _HEX, 64)}",
    lambda make: {"etag": _of(make, _HEX, 32), "size": make.randrange(9999)},
    lambda make: {"key": f"in/{_uuid(make)}.csv"},
    lambda make: f"R-2026-{_digits(make, 6)}",
    lambda make: f"/srv/data/{_of(make, string.ascii_lowercase, 9)}/key_{make.randrange(99)}.txt",
    lambda make: f"+49 {_digits(make, 3)} {_digits(make, 4)} {_digits(make, 3)}",
    lambda make: f"({_digits(make, 3)}) 555-{_digits(make, 4)}",
    lambda make: ".".join(str(make.randrange(256)) for _ in range(4)) + ":6379",
    lambda make: ":".join(_of(make, _HEX, 4) for _ in range(8)),
    lambda make: f"{make.randrange(9)}.{make.randrange(99)}.7rc1+build{make.randrange(99)}",
    lambda make: make.randrange(1_700_000_000_000, 1_800_000_000_000),
    lambda make: f"{make.randrange(10**15, 2 * 10**15)} {make.randrange(10**15, 2 * 10**15)}",
    lambda make: {"tokens": make.randrange(9999), "model": f"small-{make.randrange(9)}"},
    lambda make: f"user={_of(make, string.ascii_lowercase, 9)} qty={make.randrange(99)} state=paid",
    lambda make: f"ERROR [{_uuid(make)}] shop.tasks.pay: order {_digits(make, 9)} is unpaid",
    lambda make: [make.random() * 180 - 90, make.random() * 360 - 180],
    lambda make: f"arn:aws:s3:::shop-{_of(make, _HEX, 6)}/keys/{make.randrange(99)}",
)  # fmt: skip
