"""An OpenAI-compatible server on this machine that misbehaves as told."""

import gzip
import json
import threading
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """As many connections may wait as a client opens at once; the usual five would be turned away."""


class RudeServer:
    """`script` holds what the next answers are: a status, raw text, nothing (good), or one of these words.

    "hang-up", "half", "never"; "endless": spaces until the client hangs up; "packed": 64 MB of spaces before the
    answer, as gzip; "drip": a good answer after ten seconds of single spaces.
    """

    def __init__(self, answer):
        self.answer, self.script, self.seen, self.headers = answer, deque(), [], []
        self.left = []
        """What the client did not stay to the end of."""
        self.over = threading.Event()
        self.refusal = "<html>no</html>"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.reply(200, json.dumps({"data": [{"id": "served-model"}]}))

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((self.path, body))
                outer.headers.append(dict(self.headers))
                try:
                    told = outer.script.popleft()
                except IndexError:
                    told = None
                if told == "hang-up":
                    self.connection.close()
                elif told == "never":
                    outer.over.wait()
                elif told == "half":
                    self.reply(200, json.dumps(outer.answer(self.path, body)), cut=0.5)
                elif told == "packed":
                    text = b" " * 2**26 + json.dumps(outer.answer(self.path, body)).encode()
                    self.reply(200, gzip.compress(text), encoding="gzip")
                elif told in ("endless", "drip"):
                    self.trickle(told, json.dumps(outer.answer(self.path, body)))
                elif isinstance(told, int):
                    self.reply(told, outer.refusal)
                else:
                    self.reply(200, told if told is not None else json.dumps(outer.answer(self.path, body)))

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
                try:
                    for _ in range(100) if told == "drip" else iter(int, 1):
                        self.wfile.write(b" " if told == "drip" else b" " * 2**16)
                        time.sleep(0.1 if told == "drip" else 0)
                    self.wfile.write(text.encode())
                except OSError:
                    outer.left.append(told)

            def log_message(self, *_):
                pass

        self.http = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@contextmanager
def rude_server(answer):
    server = RudeServer(answer)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.http.shutdown()
        server.http.server_close()
