"""An OpenAI-compatible server on this machine that misbehaves as told."""

import gzip
import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """As many connections may wait as a client opens at once; the usual five would be turned away."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, json.dumps({"data": [{"id": "served-model"}]}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.rude.seen.append((self.path, body))
        self.server.rude.headers.append(dict(self.headers))
        try:
            told = self.server.rude.script.popleft()
        except IndexError:
            told = None
        if told == "hang-up":
            self.connection.close()
        elif told == "never":
            self.server.rude.over.wait()
        elif told == "half":
            self.reply(200, json.dumps(self.server.rude.answer(self.path, body)), cut=0.5)
        elif told == "packed":
            text = b" " * 2**21 + json.dumps(self.server.rude.answer(self.path, body)).encode()
            self.reply(200, gzip.compress(text), encoding="gzip")
        elif told in ("endless", "drip"):
            self.trickle(told, json.dumps(self.server.rude.answer(self.path, body)))
        elif isinstance(told, int):
            self.reply(told, self.server.rude.refusal)
        else:
            self.reply(200, told if told is not None else json.dumps(self.server.rude.answer(self.path, body)))

    def reply(self, status, text, cut=1.0, encoding="identity"):
        data = text if isinstance(text, bytes) else text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(data[: int(cut * len(data))])
        self.close_connection = cut < 1

    def trickle(self, told, text):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            for _ in range(100) if told == "drip" else iter(int, 1):
                self.wfile.write(b" " if told == "drip" else b" " * 2**16)
                time.sleep(0.1 if told == "drip" else 0)
            self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class RudeServer:
    """`script` holds what the next answers are: a status, raw text, nothing (good), or one of these words.

    "hang-up", "half", "never"; "endless": spaces until the client hangs up; "packed": 2 MiB of spaces before the
    answer, as gzip; "drip": a good answer after ten seconds of single spaces.
    """

    def __init__(self, answer):
        self.answer, self.script, self.seen, self.headers = answer, deque(), [], []
        self.over = threading.Event()
        self.refusal = "<html>no</html>"
        self.http = _Server(("127.0.0.1", 0), _Handler)
        self.http.rude = self
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@contextmanager
def rude_server(answer):
    server = RudeServer(answer)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.http.shutdown()
        server.http.server_close()
