"""Planted secrets, each in a text as it is found; and honest text that looks a little like one.

Each is put together when it is used, so that no scanner finds a real-looking secret in this file.
"""

import random
from typing import NamedTuple

_CHOICE = random.Random(14)
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def made(length: int, letters: str = _LETTERS) -> str:
    """A value that occurs nowhere else; the same in every run."""
    return "".join(_CHOICE.choice(letters) for _ in range(length - 2)) + "Z9" if length > 4 else "Zq9x"


class Planted(NamedTuple):
    """A text, and the part of it that must not leave."""

    kind: str
    text: str
    secret: str


HEX = "0123456789abcdef"


def _hex(length: int) -> str:
    return "".join(_CHOICE.choice(HEX) for _ in range(length))


def _prefixed() -> list[Planted]:
    forms = {
        "npm": ("npm" + "_", 36),
        "huggingface": ("hf" + "_", 34),
        "openai": ("sk" + "-", 48),
        "openai project": ("sk" + "-proj-", 60),
        "anthropic": ("sk" + "-ant-api03-", 80),
        "stripe": ("sk" + "_live_", 24),
        "stripe test": ("rk" + "_test_", 24),
        "stripe webhook": ("whsec" + "_", 32),
        "pypi": ("pypi" + "-AgEIcHlwaS5vcmc", 60),
        "gitlab": ("glpat" + "-", 20),
        "gitlab runner": ("glrt" + "-", 20),
        "gitlab deploy": ("gldt" + "-", 20),
        "github": ("ghp" + "_", 36),
        "github app": ("ghs" + "_", 36),
        "github fine": ("github" + "_pat_", 60),
        "slack bot": ("xoxb" + "-1234567890-", 24),
        "slack app": ("xapp" + "-1-A1B2C3-", 30),
        "google": ("AIza" + "Sy", 33),
        "google secret": ("GOCSPX" + "-", 28),
        "google access": ("ya29" + ".", 60),
        "digitalocean": ("dop" + "_v1_", 60),
        "shopify": ("shpat" + "_", 32),
        "grafana": ("glsa" + "_", 40),
        "vault": ("hvs" + ".", 60),
        "docker": ("dckr" + "_pat_", 27),
        "rubygems": ("rubygems" + "_", 48),
        "sentry": ("sntrys" + "_", 60),
        "linear": ("lin" + "_api_", 40),
        "groq": ("gsk" + "_", 50),
        "atlassian": ("ATATT" + "3", 60),
        "qflow": ("qfa" + "_", 43),
        "qflow identity": ("qfi" + "_", 60),
        "tailscale": ("tskey" + "-auth-", 30),
        "figma": ("figd" + "_", 40),
        "postman": ("PMAK" + "-", 58),
        "supabase": ("sbp" + "_", 40),
        "new relic": ("NRAK" + "-", 27),
    }
    found = []
    for kind, (prefix, length) in forms.items():
        value = made(length)
        found.append(Planted(kind, f"request with {prefix}{value} failed", value))
    return found


def _named() -> list[Planted]:
    """Each way to write a secret's name, what stands after it, and its value; ``%`` is the secret."""
    forms = (
        # Values.
        'password=f"%"',
        "password=u'%'",
        "password=b'%'",
        "password=r'%'",
        "password=rb'%'",
        "password=''%''",
        'password="""% and\nmore"""',
        "password='''a\n%'''",
        "password=`%`",
        'password=ab"%',
        "password=ab'%",
        "password=a,%",
        "password=a&%",
        "password=a;%",
        "password=a<%",
        "password=none-%",
        "password=none'%",
        "password=None.%",
        "password=false.%",
        "password=true,%",
        "password=[redacted]%",
        "password=[redacted] token=[redacted]-%",
        "password='a b, % c'",
        'passwords=["first one", "%"]',
        "passwords=['a]b', '%']",
        '{"tokens": ["one", "% x"]}',
        '"password": {"value": "a b %"}',
        'secrets=("one", "%")',
        'password="ab"%',
        "password='it'\"'\"'%'",
        '"password": {"a": ["x"], "b": "c %"}',
        "secrets=[['a', 'b %']]",
        'password: Final[Text] = "a %"',
        "password: token = %",
        # What stands between.
        "password := %",
        "password == '%'",
        "password != '%'",
        "pwd = /%",
        "pwd=/%",
        "<password>%</password>",
        "<db:password>a %</db:password>",
        '<x name="password">%</x>',
        '<input name="csrf" value="%">',
        'setPassword("%")',
        "set_password( '%' )",
        "('password', '%')",
        '["X-Api-Key","%"]',
        '[["Cookie","sid=%"]]',
        "os.environ['DB_PASSWORD']='%'",
        'env["API_TOKEN"] = "%"',
        "password -> %",
        'password => "%"',
        "password <- '%'",
        'password: str = "%"',
        '{"name":"DB_PASSWORD","value":"%"}',
        '["--password","%"]',
        "password: |\n  %",
        '{"k":"SECRET_KEY","v":"%"}',
        "&quot;password&quot;:&quot;%&quot;",
        # Names.
        "pass=%",
        "FTPPASS=%",
        "SmtpPass: %",
        "dbPass=%",
        "dbpass=%",
        "sessionid=%",
        "session_id=%",
        "sessionId: %",
        "csrf=%",
        "csrftoken=%",
        "csrfmiddlewaretoken=%",
        "XSRF-TOKEN=%",
        "dsn=%",
        "SENTRY_DSN=%",
        '"auth": "%"',
        "proxyAuth=%",
        "SECRET_KEY=%",
        "SECRET_KEY_BASE=%",
        "dbpwd=%",
        "DB_PWD=/%",
        "password2=%",
        "password_2=%",
        "passwords[0]=%",
        "passwordHash=%",
        "API_KEY_PROD=%",
        "connection_string=%",
        "signature=%",
        "credentials: %",
        # Addresses.
        "postgres://u:p@%@h/x",
        "postgres://u:a/b%@h",
        "postgres://u:p@a/b%@h/x",
        "redis://:%@h:6379/0",
        # Headers.
        "Authorization: Negotiate %",
        "Authorization: Digest %",
        "authorization=NTLM %",
        "Proxy-Authorization: Hawk %",
        "Cookie: [redacted]; sid=%",
    )
    return [Planted(form, form.replace("%", value := made(12)), value) for form in forms]


def corpus() -> list[Planted]:
    """All of them."""
    pw = [made(14) for _ in range(60)]
    spaced = f'{made(6)} {made(6)} \\" {made(6)}'
    pem = "\n".join(made(64) for _ in range(4))
    found = [
        *_prefixed(),
        *_named(),
        Planted(
            "aws id",
            "AKIA" + made(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").upper()[:16] + " is denied",
            "AKIA",
        ),
        Planted("aws secret", f"aws_secret_access_key = {pw[0]}/+{pw[1]}", pw[0]),
        Planted("discord bot", f"login {'M' + made(25)}.{made(6)}.{made(38)}", ""),
        Planted("discord webhook", f"https://discord.com/api/webhooks/123456789012345678/{pw[2]}-x", pw[2]),
        Planted("slack webhook", f"https://hooks.slack.com/services/T000/B000/{pw[3]}", pw[3]),
        Planted("telegram", f"https://api.telegram.org/bot123456789:AA{made(33)}/send", ""),
        Planted("sendgrid", f"SG.{made(22)}.{made(43)}", ""),
        Planted("twilio", f"sid SK{_hex(32)} rejected", ""),
        Planted("mailgun", f"key-{_hex(32)}", ""),
        Planted("databricks", f"dapi{_hex(32)}", ""),
        Planted("jwt", f"eyJhbGciOiJIUzI1NiJ9.eyJ{made(20)}.{made(30)}", ""),
        Planted("sentry dsn", f"https://{_hex(32)}@o1.ingest.example.org/42", ""),
        Planted("address", f"postgresql://ada:{pw[4]}@db.example.org/x", pw[4]),
        Planted("bearer", f"Authorization: Bearer {pw[5]}", pw[5]),
        Planted("basic", f"authorization: basic {pw[6]}==", pw[6]),
        Planted("digest", f'Authorization: Digest username="ada", response="{pw[7]}"', pw[7]),
        Planted("cookie", f"Cookie: session={pw[8]}; theme=dark", pw[8]),
        Planted("set-cookie", f"Set-Cookie: id={pw[9]}; HttpOnly", pw[9]),
        Planted("pwd", f"Server=db;Uid=ada;Pwd={pw[10]};", pw[10]),
        Planted("connection", f"Data Source=db;User ID=ada;Password={pw[11]};Encrypt=true", pw[11]),
        Planted("azure", f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={pw[12]}==;", pw[12]),
        Planted("quoted", f'login(password="{spaced}")', spaced.split(" ")[1]),
        Planted("quoted end", f'login(password="{spaced}")', spaced.split(" ")[3]),
        Planted("single", f"password = '{pw[13]} and {pw[14]}'", pw[14]),
        Planted("json", f'{{"client_secret": "{pw[15]}"}}', pw[15]),
        Planted("json in json", f'"body": "{{\\"api_key\\": \\"{pw[16]}\\"}}"', pw[16]),
        Planted("ruby", f":password => {pw[17]}", pw[17]),
        Planted("yaml", f"db:\n  password: {pw[18]}\n", pw[18]),
        Planted("option", f"deploy --password {pw[19]} --verbose", pw[19]),
        Planted("option token", f"deploy --api-token={pw[20]}", pw[20]),
        Planted("option key", f"deploy --secret-key '{pw[21]} x'", pw[21]),
        Planted("sshpass", f"sshpass -p {pw[22]} ssh host", pw[22]),
        Planted("mysql", f"mysql -h db -u root -p{pw[23]} shop", pw[23]),
        Planted("docker login", f"docker login -u ada -p {pw[24]} example.org", pw[24]),
        Planted("redis", f"redis-cli -h r -a {pw[25]} ping", pw[25]),
        Planted("curl", f"curl -s -u ada:{pw[26]} https://example.org", pw[26]),
        Planted("netrc", f"machine example.org login ada password {pw[27]}", pw[27]),
        Planted("netrc lines", f"machine example.org\n  login ada\n  password {pw[28]}\n", pw[28]),
        Planted("query", f"GET https://example.org/a?x=1&token={pw[29]}&y=2", pw[29]),
        Planted("signature", f"https://a.blob.example.org/c?sv=2020&sig={pw[30]}%3D", pw[30]),
        Planted("aws query", f"https://b.s3.example.org/k?X-Amz-Signature={_hex(64)}&X-Amz-Date=1", ""),
        Planted("npmrc", f"//registry.example.org/:_authToken={pw[31]}", pw[31]),
        Planted("environment", f"HOME=/root\nDB_PASS={pw[32]}\nPGPASSWORD={pw[33]}\nPATH=/bin", pw[32]),
        Planted("environment 2", f"HOME=/root\nDB_PASS=x\nPGPASSWORD={pw[33]}\nPATH=/bin", pw[33]),
        Planted("environment 3", f"MYSQL_PWD={pw[34]}", pw[34]),
        Planted("pem", f"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----", pem[70:100]),
        Planted("openssh", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{pem[:200]}", pem[70:100]),
        Planted(
            "pgp",
            f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{pem}\n-----END PGP PRIVATE KEY BLOCK-----",
            pem[70:100],
        ),
        Planted(
            "putty", f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 4\n{pem}\nPrivate-MAC: 0", pem[70:100]
        ),
        Planted("dsn short", f"https://{pw[35][:11]}@o1.ingest.example.org/42", pw[35][:11]),
        Planted("encoded", f"next=%2Fa%3Fpassword%3D{pw[36]}%26x", pw[36]),
        Planted(
            "gcp",
            f'{{"private_key": "-----BEGIN PRIVATE KEY-----\\n{pem[:60]}\\n-----END PRIVATE KEY-----"}}',
            pem[:40],
        ),
    ]
    # Where no part is named, the longest word of the text is the secret.
    return [one if one.secret else one._replace(secret=max(_words(one.text), key=len)) for one in found]


def _words(text: str) -> list[str]:
    for mark in "/:.@=?&":
        text = text.replace(mark, " ")
    return text.split()


HONEST = (
    "token count = 5000 tokens",
    "max_tokens=4096, input_tokens: 1200",
    "the token is missing",
    "unexpected token: '}'",
    "no answer from 10.0.0.1",
    "key error: 'sku'",
    "https://example.org/a:b",
    "https://example.org/list?page=2&sort=name",
    "PWD=/srv/ada/project",
    "Basic configuration error in section main",
    "bearer of the ring",
    "12 passed, 3 failed",
    "pass: 12, fail: 0",
    "bypass=yes compass: north",
    "password: null",
    "secret: false",
    "docker run -p 8080:80 nginx",
    "ssh -p 2222 host",
    "mkdir -p build/output",
    "commit 3f2a9c1d4e5b60718293a4b5c6d7e8f901234567",
    "550e8400-e29b-41d4-a716-446655440000",
    "the password of the account has expired",
    "authentication failed for user ada",
    "tokenizer.json was not found",
    "pypi-simple-index-mirror-of-ours",
    "key-value-store-with-a-long-name",
    "glob-pattern-that-is-long-enough",
    "TypeError: 'NoneType' object is not subscriptable",
    "module.submodule.Class.method at 0x7f3a",
    "cookies were refused by the browser",
    "digest of the page",
    "OLDPWD=/srv/ada",
    "password=none, user=ada",
    '{"password":null,"user":"ada"}',
    '{"secret": false}',
    "tokenizer=fast author=ada authenticated: yes",
    "token_count=12 token_type: bearer",
    "https://example.org:8080/a?mail=ada@example.org",
    "ssh://git@example.org/a/b",
    "session started, connection closed: by peer",
    "compare(pass, fail)",
    "NoCredentialsError: Unable to locate them",
    "SecretNotFoundException: a TokenError: it has expired",
    "def login(user: str, token: str) -> None",
)
