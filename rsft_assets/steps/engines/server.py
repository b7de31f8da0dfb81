"""One OpenAI-compatible server: requests in, parsed JSON out, tried again while there is hope.

Tried again with growing pauses: no connection, a time-out, 408, 409, 425, 429 and 5xx (Retry-After is heeded), and an
answer that is no JSON object of the expected form, is too large or takes too long. Any other status is an error at
once. The key comes from an environment variable; neither it nor a user name, password or query of the URL appears in a
message. Where the server is `private`, neither does what a refusal says.
"""

import contextlib
import json
import logging
import os
import random
import socket
import threading
import time
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from rsft_assets.specs.endpoints import check_endpoint, without_credentials
from rsft_assets.specs.errors import StepError
from rsft_assets.steps.processes.closing import Closing

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)
# It logs the URL of every request, query included.
logging.getLogger("httpx").setLevel(logging.WARNING)
KEY_SETTING = "RSFT_ENDPOINT_KEY"
LARGEST_ANSWER = 64 * 2**20
"""Bytes of an unpacked answer; 100,000 tokens with their log-probabilities take less than a quarter of it."""
_MOST_TOKENS = 2**31
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PATIENT = frozenset({408, 409, 425, 429})
Parsed = TypeVar("Parsed")


class Garbage(ValueError):
    """An answer that does not hold what it must. The message quotes nothing of it: it is logged."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to go on trying."""

    tries: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    seconds: float = 3_600.0
    """For one answer, its last byte included."""


class Server(Closing):
    """A context manager; may be used from several threads."""

    def __init__(
        self, base_url: str, *, key_setting: str = KEY_SETTING, patience: Patience = Patience(), private: bool = False
    ) -> None:
        import httpx

        if problem := check_endpoint(base_url):
            raise StepError(f"endpoint {problem}")
        self.base_url, self.patience, self._private = without_credentials(base_url).rstrip("/"), patience, private
        url = httpx.URL(base_url)
        self._client = httpx.Client(
            headers={"Accept-Encoding": "gzip", **_authorization(key_setting)},
            auth=(url.username, url.password) if url.userinfo else None,
            params=url.params,
            timeout=httpx.Timeout(patience.seconds, connect=10.0),
            limits=httpx.Limits(max_connections=256, max_keepalive_connections=256),
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
                response, text = self._answer(method, url, body)
                if response.status_code < 400:
                    return parse(_object(text))
                problem = f"status {response.status_code}: {self._shown(text, asked=body is not None)}"
                if response.status_code < 500 and response.status_code not in _PATIENT:
                    raise StepError(f"{url}: {problem}; check endpoint, model name and key ({KEY_SETTING})")
                pause = max(pause, _retry_after(response.headers.get("retry-after")))
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            except Garbage as error:
                problem = f"unreadable answer ({error})"
            except (ValueError, KeyError, TypeError, IndexError, ArithmeticError, RecursionError, zlib.error) as error:
                problem = f"unreadable answer ({type(error).__name__})"
            log.warning("%s: %s; try %d of %d", url, problem[:100], attempt + 1, self.patience.tries)
            if self._stopped.wait(pause * random.uniform(0.5, 1.0)):
                break
        raise StepError(f"{url}: gave up after {attempt + 1} tries, last: {problem}; what was answered so far is kept")

    def _answer(self, method: str, url: str, body: dict[str, Any] | None) -> tuple["httpx.Response", str]:
        """The response and its text, unpacked here so that neither its size nor its time is the server's choice."""
        until = time.monotonic() + self.patience.seconds
        text = bytearray()
        with self._client.stream(method, url, json=body, extensions={"trace": self._connected}) as response:
            encoding = response.headers.get("content-encoding", "identity")
            if encoding not in ("identity", "gzip"):
                raise Garbage("packed in a way that was not asked for")
            unpack = zlib.decompressobj(_GZIP_OR_ZLIB).decompress if encoding == "gzip" else None
            for part in response.iter_raw():
                text += unpack(part, LARGEST_ANSWER + 1 - len(text)) if unpack else part
                if len(text) > LARGEST_ANSWER:
                    raise Garbage(f"larger than {LARGEST_ANSWER:,} bytes")
                if time.monotonic() > until:
                    raise Garbage(f"not complete after {self.patience.seconds:g} s")
        return response, text.decode("utf-8", "replace")

    def _shown(self, text: str, *, asked: bool) -> str:
        # Servers quote a request that they refuse.
        hidden = self._private and asked
        return "(not shown: it may quote what was asked)" if hidden else text.strip()[:200]

    def close(self) -> None:
        self._stopped.set()
        for opened in list(self._sockets):
            _shut_down(opened)
        self._client.close()

    def _connected(self, event: str, about: dict[str, Any]) -> None:
        """Called by the HTTP library at every step of a request."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            opened = about["return_value"].get_extra_info("socket")
            self._sockets.add(opened)
            if self._stopped.is_set():
                # `close` may have looked before this one was there.
                _shut_down(opened)


def _shut_down(opened: socket.socket) -> None:
    """Closing alone does not wake a thread that waits for an answer, and patience can be long."""
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


def token_count(value: Any) -> int:
    """A count of tokens as a server gives it; `Garbage` where no answer has so many."""
    count = int(value)
    if not 0 <= count < _MOST_TOKENS:
        raise Garbage("a count of tokens that is none")
    return count


def _authorization(key_setting: str) -> dict[str, str]:
    key = os.environ.get(key_setting, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise StepError(f"{key_setting}: the key holds characters that no HTTP header takes; set it anew")
    return {"Authorization": f"Bearer {key}"} if key else {}


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
