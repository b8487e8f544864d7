import re as regex
from datetime import datetime

import hashlib
import hmac
import subprocess


class Column:
    def lstrip(self, word):
        return self


def names(column: Column) -> Column:
    return column.lstrip("prefixes")


def digits(text: str) -> str:
    return text.lstrip("00112233") + text.lstrip("xxx") + text.strip("hello") + text.rstrip("\r\n\r")


def clean(text):
    return regex.sub("a", "b", text, regex.IGNORECASE)


def limited(text, count):
    return regex.sub("a", "b", text, count)


def same_file(a: bytes, checksum: str) -> bool:
    return hashlib.sha256(a).hexdigest() == checksum


def token(key: bytes, given) -> bool:
    return hmac.new(key, b"", "sha256").hexdigest() == given


def listing(path: str, options: str) -> None:
    subprocess.run(f"ls {options} '{path}'", shell=True)
    subprocess.run(f"cd '{path}'", shell=True)
    subprocess.run(f"cat '{path}' > out", shell=True)
    subprocess.run(f"cat '{path}.txt'", shell=True)
    subprocess.run(f"FOO=1 cat '{path}'", shell=True)


def when(seconds):
    return datetime.utcfromtimestamp(seconds).isoformat()
