"""Sending one note through Apprise, in a process of its own.

Belongs here: that process's side. Does not belong here: when, and what becomes of a failure (`delivery`).

Apprise's plug-ins ask by `requests`, which takes credentials from ``~/.netrc`` and proxies from the
environment; here there are none of either.
"""

import os


def notify(proxy: str | None, batch: list[tuple[str, str, str]]) -> bool:
    """Send the only (address, title, body) of the batch; whether the service took it."""
    os.environ["NETRC"] = os.devnull
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    if proxy:
        os.environ |= {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": "localhost,127.0.0.1,::1"}
    # Imported late: it brings a hundred services along.
    import apprise

    [(address, title, body)] = batch
    service = apprise.Apprise()
    try:
        return bool(service.add(address) and service.notify(title=title, body=body))
    # Whatever a service's plug-in raises.
    except Exception:
        return False
