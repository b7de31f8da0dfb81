"""URLs of servers: whether one can be used, and its form without credentials for records and logs."""

from urllib.parse import urlsplit


def check_endpoint(url: str) -> str:
    """What is wrong with a base URL; empty if nothing is."""
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable():
            return ""
    except ValueError:
        pass
    shown = "(not shown: it may hold a password)" if set(url) & set("@?") else repr(url)
    return f"{shown} must be a URL such as http://localhost:8000/v1"


def without_credentials(url: str) -> str:
    """The URL without user name, password, query and fragment: for manifests, logs and messages."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
