"""An OpenAI-compatible server on this machine that misbehaves as told."""

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """As many connections may wait as a client opens at once; the usual five would be turned away."""


class RudeServer:
    """`script` holds what the next answers are: a status, raw text, "hang-up", "half", "never", or nothing (good)."""

    def __init__(self, answer):
        self.answer, self.script, self.seen, self.headers = answer, deque(), [], []
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
                elif isinstance(told, int):
                    self.reply(told, outer.refusal)
                else:
                    self.reply(200, told if told is not None else json.dumps(outer.answer(self.path, body)))

            def reply(self, status, text, cut=1.0):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode()[: int(cut * len(text.encode()))])
                self.close_connection = cut < 1

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
