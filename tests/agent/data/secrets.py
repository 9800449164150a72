# SPDX-License-Identifier: AGPL-3.0-only
"""Made-up secrets, each where applications have them. None is anybody's: they come from a fixed
seed, and what has a known prefix is put together here, so that no scanner takes it for real."""

import base64
import json
import random
import string
from typing import Any, NamedTuple

_LETTERS = string.ascii_letters
_ALL = _LETTERS + string.digits
_HEX = "0123456789abcdef"


class Secret(NamedTuple):
    """A value as a task gets it; `text` must be nowhere in what is captured of it."""

    label: str
    value: Any
    text: str
    place: str = "argument"
    """Also `message` and `traceback`: then the value is a text."""


class Maker:
    """Random texts of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, alphabet: str, size: int) -> str:
        """Some letters and, where the alphabet has them, at least one digit."""
        digit = "7" if "7" in alphabet else ""
        return "".join(self.random.choices(alphabet, k=size - len(digit))) + digit

    def password(self) -> str:
        return self.of(_LETTERS, 5) + self.random.choice("!-_.#+") + self.of(string.digits, 3)

    def card(self, prefix: str, size: int) -> str:
        digits = [int(one) for one in prefix + self.of(string.digits, size - len(prefix) - 1)]
        doubled = [one * 2 - 9 * (one > 4) for one in digits[::-1][::2]]
        check = -(sum(doubled) + sum(digits[::-1][1::2])) % 10
        return "".join(map(str, digits)) + str(check)

    def jwt(self) -> str:
        parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": self.of(string.digits, 9)})
        packed = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode() for one in parts]
        return ".".join([one.rstrip("=") for one in packed] + [self.of(_ALL, 43)])

    def pem(self, kind: str) -> str:
        dashes = "-" * 5
        body = "\n".join(self.of(_ALL, 64) for _ in range(3))
        return f"{dashes}BEGIN {kind}{dashes}\n{body}\n{dashes}END {kind}{dashes}"


_NAMES = """
password Password PASSWORD passwd pwd db_password dbPassword DB-PASSWORD user_pwd passphrase
passcode pass smtp_pass new_password password_confirmation old-password rootpw
secret secrets client_secret clientSecret client-secret app_secret webhook_secret shared_secret
token api_token access_token accessToken refresh_token refreshToken id_token auth_token bearer
csrf_token xsrf-token device_token bot_token deploy_token personal_access_token session_token
api_key apikey apiKey API_KEY ApiKey x-api-key X-Api-Key x_apikey stripe_api_key
dd_api_key DD-API-KEY
authorization Authorization proxy-authorization auth basic_auth cookie Cookie Set-Cookie cookies
session sessionid session_id session-id sessionKey PHPSESSID JSESSIONID
private_key privateKey private-key ssh_private_key secret_key SECRET_KEY secretAccessKey
AWS_SECRET_ACCESS_KEY signing_key signingKey signing_secret encryption_key encryptionKey hmac_key
master_key account_key AccountKey shared_access_key service_account_key license_key deploy_key
ssh_key host_key_passphrase credentials credential creds db_credentials
dsn DSN sentry_dsn connection_string connectionString conn_str database_url_password
card_number cardNumber card-number credit_card creditCard cc_number ccnum pan cvv CVV cvc cvv2
security_code iban IBAN customer_iban account_number bank_account routing_number
ssn SSN social_security_number tax_id passport_number otp OTP otp_code totp_secret mfa_code
pin PIN pin_code puk recovery_code recovery_codes seed_phrase mnemonic jwt JWT jwt_token
kennwort passwort Passwort geheimnis mot_de_passe contrasena contraseña senha
sas_token azure_client_secret cloudflare_api_token cf_api_key openai_api_key twilio_auth_token
sendgrid_api_key slack_bot_token github_token gitlab_token npm_token pypi_token telegram_bot_token
magic_link
"""
KEYS = _NAMES.split()
"""Names of keys whose values nobody must see, as people write them."""


def by_prefix(make: Maker) -> dict[str, str]:
    """What can be told by its look alone."""
    of, up = make.of, string.ascii_uppercase + string.digits
    return {
        "aws id": "AK" + "IA" + of(up, 16),
        "aws session": "AS" + "IA" + of(up, 16),
        "gcp": "AI" + "za" + of(_ALL, 35),
        "google oauth": "ya" + "29." + of(_ALL, 60),
        "google client secret": "GOC" + "SPX-" + of(_ALL, 28),
        "azure storage": "DefaultEndpointsProtocol=https;AccountName=shop;Account"
        + f"Key={of(_ALL, 86)}==;EndpointSuffix=core.windows.net",
        "github": "gh" + "p_" + of(_ALL, 36),
        "github server": "gh" + "s_" + of(_ALL, 36),
        "github fine": "github" + "_pat_" + of(_ALL, 22) + "_" + of(_ALL, 59),
        "gitlab": "gl" + "pat-" + of(_ALL, 20),
        "gitlab runner": "gl" + "rt-" + of(_ALL, 20),
        "slack bot": "xo" + "xb-" + of(string.digits, 12) + "-" + of(_ALL, 24),
        "slack app": "xa" + "pp-1-" + of(up, 11) + "-" + of(string.digits, 13) + "-" + of(_HEX, 64),
        "stripe": "sk" + "_live_" + of(_ALL, 24),
        "stripe restricted": "rk" + "_test_" + of(_ALL, 24),
        "stripe webhook": "wh" + "sec_" + of(_ALL, 32),
        "twilio": "S" + "K" + of(_HEX, 32),
        "sendgrid": "S" + "G." + of(_ALL, 22) + "." + of(_ALL, 43),
        "npm": "np" + "m_" + of(_ALL, 36),
        "pypi": "py" + "pi-AgEIcHlwaS5vcmc" + of(_ALL, 60),
        "openai": "s" + "k-" + of(_ALL, 48),
        "openai project": "s" + "k-proj-" + of(_ALL, 48),
        "anthropic-like": "s" + "k-ant-api03-" + of(_ALL, 80),
        "hugging face": "h" + "f_" + of(_ALL, 34),
        "telegram": "7" + of(string.digits, 9) + ":A" + "A" + of(_ALL, 33),
        "discord": "M" + "T" + of(_ALL, 22) + ".G" + of(_ALL, 5) + "." + of(_ALL, 38),
        "mailgun": "ke" + "y-" + of(_HEX, 32),
        "digitalocean": "do" + "p_v1_" + of(_HEX, 64),
        "shopify": "sh" + "pat_" + of(_HEX, 32),
        "docker": "dc" + "kr_pat_" + of(_ALL, 27),
        "databricks": "da" + "pi" + of(_HEX, 32),
        "vault": "hv" + "s." + of(_ALL, 90),
        "grafana": "gl" + "sa_" + of(_ALL, 32) + "_" + of(_HEX, 8),
        "age": "AGE-SECRET" + "-KEY-1" + of(up, 58),
        "jwt": make.jwt(),
        "rsa": make.pem("RSA PRIVATE KEY"),
        "pkcs8": make.pem("PRIVATE KEY"),
        "ssh": make.pem("OPENSSH PRIVATE KEY"),
        "visa": make.card("4", 16),
        "mastercard": make.card("52", 16),
        "amex": make.card("37", 15),
    }


URLS = (
    "postgres://app:{}@db:5432/shop", "mysql+pymysql://root:{}@10.0.0.7/shop",
    "redis://:{}@cache:6379/0", "amqp://guest:{}@rabbit:5672//", "https://ci:{}@git.example.com/a.git",
    "mongodb+srv://svc:{}@cluster0.example.net/?retryWrites=true", "ftp://bob:{}@files.example.com/in",
    "smtp://mailer:{}@mail.example.com:587", "https://{}@sentry.example.com/42",
)  # fmt: skip
WEBHOOKS = (
    "https://hooks.slack.com/services/T0000/B0000/{}",
    "https://discord.com/api/webhooks/1122334455667788/{}",
    "https://example.webhook.office.com/webhookb2/{}/IncomingWebhook/x",
    "https://api.telegram.org/bot123456789:AA{}/sendMessage",
    "https://example.com/hook?token={}",
    "https://example.com/hook?a=1&api_key={}&b=2",
    "https://shop.blob.core.windows.net/c/f?sv=2024-11-04&se=2026-12-01&sig={}",
    "https://s3.example.com/f?X-Amz-Credential=x&X-Amz-Signature={}",
    "https://example.com/cb#access_token={}&expires_in=3600",
)
MESSAGES = (
    "login failed: password={} user=bob", "login failed for bob, password: {}", "bad token={}",
    "Authorization: Bearer {}", "401 for header 'Authorization': 'Bearer {}'",
    "authorization: Basic {}", "Authorization: token {}", "Authorization: ApiKey {}",
    "{{'user': 'bob', 'password': '{}'}}", '{{"user": "bob", "api_key": "{}"}}',
    "Cookie: sessionid={}; lang=de", "Set-Cookie: session={}; HttpOnly", "X-Api-Key: {}",
    "the API key {} was refused", "invalid secret {}", "client_secret={}&grant_type=x",
    "Server=db;Uid=app;Pwd={};", "Server=db;User Id=app;Password={};Encrypt=yes",
    "host=db user=app password={} dbname=shop", "AWS_SECRET_ACCESS_KEY={}",
    "export GITHUB_TOKEN={}",
    "Endpoint=sb://x.example.net/;SharedAccessKeyName=Root;SharedAccessKey={}",
    "Settings(user='bob', password='{}')", "Client(api_key={!r})", "auth=('bob', '{}')",
    "curl -u bob:{} https://example.com", "mysql -u root -p{} shop", "--password {} --host db",
    "--token={} --host db", "passphrase => {}", "private_key: {}", "{{\\\"token\\\": \\\"{}\\\"}}",
    "Passwort: {}", "//registry.example.com/:_authToken={}", "ValueError: no valid api_token={!r}",
)  # fmt: skip
SOURCE = (
    'login("bob", password="{}")', "TOKEN = '{}'", 'headers = {{"Authorization": "Bearer {}"}}',
    'client = Client(api_key="{}")', "os.environ['DB_PASSWORD'] = '{}'", 'SECRET_KEY = "{}"',
    "connect('postgres://app:{}@db/shop')", 'requests.get(url, auth=("bob", "{}"))',
    "conn = connect(user='app', passwd='{}', db='shop')", 'secret: str = "{}"',
    'password = b"{}"', 'f(api_key := "{}")',
)  # fmt: skip
"""Lines of source that a traceback shows."""


def all_secrets(seed: int = 7717) -> list[Secret]:
    """The corpus: the same each time."""
    make = Maker(seed)
    cases = [_under_key(make, key, place) for place, key in enumerate(KEYS)]
    for name, text in by_prefix(make).items():
        cases += (Secret(name, {"note": [text]}, text), _inside(make, name, text))
    for form in (*URLS, *WEBHOOKS):
        text = make.of(_HEX, 32) if "{}@sentry" in form else make.of(_ALL, 35)
        cases.append(Secret(form, {"target": form.format(text)}, text))
    for form in MESSAGES:
        text = make.of(_ALL, 24)
        cases.append(Secret(form, form.format(text), text, "message"))
    for form in SOURCE:
        text = make.of(_ALL, 24)
        trace = f'  File "/srv/shop/a.py", line 7, in pay\n    {form.format(text)}\nValueError: no'
        cases.append(Secret(form, trace, text, "traceback"))
    return cases


def _under_key(make: Maker, key: str, place: int) -> Secret:
    """Plain, nested, in a list, as one of several."""
    text = make.password()
    nested: Any = ({key: text}, {"a": {key: text}}, {"a": [{"b": 1, key: text}]}, {key: [text]})
    return Secret(key, nested[place % 4], text)


def _inside(make: Maker, name: str, text: str) -> Secret:
    form = make.random.choice(("refused {} for bob", "got '{}'", "id=7 value={} end", "({})"))
    return Secret(f"{name} inside", form.format(text), text, "message")
