"""One OpenAI-compatible server: requests in, parsed JSON out, tried again while there is hope.

Tried again with growing pauses: no connection, a time-out, 408, 409, 425, 429 and 5xx (Retry-After is heeded), and an
answer that is no JSON object of the expected form. Any other status is an error at once. The key comes from an
environment variable and appears in no message; where the server is `private`, neither does what a refusal says.
"""

import contextlib
import json
import logging
import os
import random
import socket
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.closing import Closing

log = logging.getLogger(__name__)
KEY_SETTING = "RSFT_ENDPOINT_KEY"
_PATIENT = frozenset({408, 409, 425, 429})
Parsed = TypeVar("Parsed")


class Garbage(ValueError):
    """An answer that does not hold what it must."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to go on trying."""

    tries: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    seconds: float = 3_600.0
    """For one answer."""


class Server(Closing):
    """A context manager; may be used from several threads."""

    def __init__(
        self, base_url: str, *, key_setting: str = KEY_SETTING, patience: Patience = Patience(), private: bool = False
    ) -> None:
        import httpx

        if not base_url.startswith(("http://", "https://")):
            raise StepError(f"endpoint {base_url!r} is no URL; give one such as http://localhost:8000/v1")
        self.base_url, self.patience, self._private = base_url.rstrip("/"), patience, private
        key = os.environ.get(key_setting)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
        self._client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(patience.seconds, connect=10.0), limits=limits
        )
        self._stopped = threading.Event()
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()

    def models(self) -> list[str]:
        """Names of what is served."""
        return self._ask("GET", "/models", None, lambda data: [str(entry["id"]) for entry in data["data"]])

    def post(self, path: str, body: dict[str, Any], parse: Callable[[dict[str, Any]], Parsed]) -> Parsed:
        """`parse` of the answer; it raises KeyError, TypeError, IndexError or ValueError where that is garbage."""
        return self._ask("POST", path, body, parse)

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None, parse: Callable[[dict[str, Any]], Parsed]
    ) -> Parsed:
        import httpx

        # A path with a host's root instead of the API's: /classify lies beside /v1.
        url = self.base_url.removesuffix("/v1") + path[1:] if path.startswith("//") else self.base_url + path
        problem = ""
        for attempt in range(self.patience.tries):
            pause = min(self.patience.first_pause * 2**attempt, self.patience.longest_pause)
            try:
                response = self._client.request(method, url, json=body, extensions={"trace": self._connected})
                if response.status_code < 400:
                    return parse(_object(response.text))
                problem = f"status {response.status_code}: {self._shown(response.text)}"
                if response.status_code < 500 and response.status_code not in _PATIENT:
                    raise StepError(f"{url}: {problem}; check endpoint, model name and key ({KEY_SETTING})")
                pause = max(pause, _retry_after(response.headers.get("retry-after")))
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
                problem = f"unreadable answer ({type(error).__name__})"
            log.warning("%s: %s; try %d of %d", url, problem[:100], attempt + 1, self.patience.tries)
            if self._stopped.wait(pause * random.uniform(0.5, 1.0)):
                break
        raise StepError(f"{url}: gave up after {attempt + 1} tries, last: {problem}; what was answered so far is kept")

    def _shown(self, text: str) -> str:
        # Servers quote a request that they refuse.
        return "(not shown: it may quote what was asked)" if self._private else text.strip()[:200]

    def close(self) -> None:
        self._stopped.set()
        for open_socket in list(self._sockets):
            # Closing alone does not wake a thread that waits for an answer, and patience can be long.
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def _connected(self, event: str, about: dict[str, Any]) -> None:
        """Called by the HTTP library at every step of a request."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets.add(about["return_value"].get_extra_info("socket"))


def _object(text: str) -> dict[str, Any]:
    data = json.loads(text)
    if not isinstance(data, dict):
        raise Garbage("not an object")
    return data


def _retry_after(value: str | None) -> float:
    try:
        return min(float(value or 0), 300.0)
    except ValueError:
        return 0.0
