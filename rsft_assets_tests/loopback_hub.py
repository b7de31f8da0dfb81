"""A small hub on this machine that the real huggingface_hub, datasets and transformers clients talk to.

    with LoopbackHub() as hub:
        commit = hub.commit("dataset", "me/sums", {"data/train.jsonl": b"..."})
        environment = {**os.environ, **hub.environment(tmp_path)}      # for a process
        hub.patch(monkeypatch, tmp_path)                               # for this one

It serves what the hub serves for reading: repository information with commit, sizes and hashes, the tree, files
with redirects for large ones and ranges, gated repositories. `hub.fault(part, ...)` makes the next requests whose
path holds `part` fail: a status, "html" (a proxy's page), "cut" (the connection ends early) or "changed".
"""

import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

TOKEN = "hf_loopback"
LARGE = (".parquet", ".safetensors", ".gz")
"""Stored through Git LFS: answered by a redirect, and known by their sha256."""
_KINDS = {"models": "model", "datasets": "dataset"}


class Repository:
    """One repository: every commit is a full set of files."""

    def __init__(self, kind, name, gated, licence):
        self.kind, self.name, self.gated, self.licence = kind, name, gated, licence
        self.commits = {}
        self.head = ""

    def info(self, commit, blobs):
        siblings = []
        for path, data in self.files(commit):
            known = {name: value for name, value in entry_of(path, data).items() if name in ("size", "blobId", "lfs")}
            siblings.append({"rfilename": path, **(known if blobs else {})})
        return {
            "_id": "1",
            "id": self.name,
            "sha": commit,
            "gated": "manual" if self.gated else False,
            "lastModified": "2026-01-02T03:04:05.000Z",
            "cardData": {"license": self.licence} if self.licence else {},
            "siblings": siblings,
        }

    def files(self, commit):
        return sorted(self.commits[commit].items())


def entry_of(path, data):
    """A file as the tree lists it."""
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "path": path, "oid": git, "blobId": git, "size": len(data)}
    if path.endswith(LARGE):
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(data), "pointerSize": 130}
    return entry


class LoopbackHub(ThreadingHTTPServer):
    """The server; use it as a context."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = {}
        self.requests = []
        """(method, path) in the order they came."""
        self._faults = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""

    def commit(self, kind, name, files, *, gated=False, licence=None, revision=None):
        """Publish a commit that holds `files` (path -> bytes, or a folder); its hash, which may be given."""
        if not isinstance(files, dict):
            files = {str(path.relative_to(files)): path.read_bytes() for path in files.rglob("*") if path.is_file()}
        repository = self.repositories.setdefault((kind, name), Repository(kind, name, gated, licence))
        listing = [(path, hashlib.sha256(data).hexdigest()) for path, data in sorted(files.items())]
        repository.head = revision or hashlib.sha1(repr((kind, name, listing)).encode()).hexdigest()
        repository.commits[repository.head] = dict(files)
        return repository.head

    def mirror(self, folder):
        """Publish each `<owner>/<name>` of a folder in the hub's layout as a data set."""
        for place in sorted(folder.glob("*/*")):
            self.commit("dataset", f"{place.parent.name}/{place.name}", place)

    def fault(self, part, *faults):
        self._faults.append((part, deque(faults)))

    def next_fault(self, path):
        for part, faults in self._faults:
            if part in path and faults:
                return faults.popleft()
        return None

    def environment(self, cache, token=""):
        """Variables that point a new process's clients here."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_HUB_CACHE": str(cache / "hub"),
            "HF_DATASETS_CACHE": str(cache / "datasets"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": token,
        }

    def patch(self, monkeypatch, cache, token=""):
        """Point this process's clients here: they read the variables once, when they are imported."""
        import datasets
        import huggingface_hub
        from huggingface_hub import HfFileSystem, constants

        for name, value in self.environment(cache, token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", self.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", self.url)
        monkeypatch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(time=time.time, sleep=lambda _: None))
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", self.url)
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache / "datasets"))
        HfFileSystem.clear_instance_cache()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.serve()

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.serve()

    def serve(self):
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path)
        self.server.requests.append((self.command, path))
        self.faulty = self.server.next_fault(path)
        if isinstance(self.faulty, int):
            self.refuse(self.faulty, "", "told to fail")
        elif self.faulty == "html":
            self.reply(200, b"<html><body>Log in to the network</body></html>", {"Content-Type": "text/html"})
        elif found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/([^/]+)(?:/(.*))?)?", path):
            self.api(*found.groups(default=""), urllib.parse.parse_qs(parts.query))
        elif found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, name, revision, file = found.groups()
            self.resolve("dataset" if kind else "model", name, revision, file)
        elif found := re.fullmatch(r"/cdn/(\w+)/(\w+)/(\w+)/(.+)", path):
            kind, number, commit, file = found.groups()
            repository = list(self.server.repositories.values())[int(number)]
            self.content(repository.commits[commit][file])
        else:
            self.refuse(404, "", "no such page")

    def api(self, kinds, name, what, rest, query):
        repository = self.server.repositories.get((_KINDS[kinds], name))
        if repository is None:
            return self.refuse(401, "RepoNotFound", "Repository not found")
        if what == "auth-check":
            return self.json({}) if self.has_access(repository) else self.refuse_gated()
        revision = (rest if what == "revision" else rest.partition("/")[0]) or "main"
        commit = self.commit_of(repository, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what in ("", "revision"):
            return self.json(repository.info(commit, "blobs" in query))
        if what == "tree":
            return self.tree(repository, commit, rest.partition("/")[2], "recursive" in query)
        if what == "paths-info":
            return self.paths_info(repository, commit)
        return self.refuse(404, "", f"no {what}")

    def tree(self, repository, commit, below, recursive):
        entries, prefix = {}, f"{below}/" if below else ""
        for path, data in repository.files(commit):
            if path.startswith(prefix):
                inner = path.removeprefix(prefix).split("/")
                for depth in range(1, len(inner)):
                    folder = prefix + "/".join(inner[:depth])
                    if recursive or depth == 1:
                        entries[folder] = {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
                if recursive or len(inner) == 1:
                    entries[path] = entry_of(path, data)
        if below and not entries:
            return self.refuse(404, "EntryNotFound", f"{below} does not exist")
        return self.json(list(entries.values()))

    def paths_info(self, repository, commit):
        if "json" in (self.headers.get("Content-Type") or ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = urllib.parse.parse_qs(self.body.decode())["paths"]
        found = []
        for path in paths if isinstance(paths, list) else [paths]:
            files = repository.commits[commit]
            if path in files:
                found.append(entry_of(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        return self.json(found)

    def resolve(self, kind, name, revision, file):
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self.refuse(401, "RepoNotFound", "Repository not found")
        commit = self.commit_of(repository, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if not self.has_access(repository):
            return self.refuse_gated()
        if file not in repository.commits[commit]:
            return self.refuse(404, "EntryNotFound", f"{file} does not exist", {"X-Repo-Commit": commit})
        data = repository.commits[commit][file]
        entry = entry_of(file, data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry["oid"]}"'}
        if "lfs" not in entry:
            return self.content(data, headers)
        number = list(self.server.repositories.values()).index(repository)
        headers |= {"X-Linked-Etag": f'"{entry["lfs"]["sha256"]}"', "X-Linked-Size": str(len(data))}
        # Another host, as the hub's own: clients keep the headers of the first answer and send it no token.
        headers["Location"] = (
            f"http://localhost:{self.server.server_port}/cdn/{kind}/{number}/{commit}/{urllib.parse.quote(file)}"
        )
        return self.reply(302, b"", headers)

    def content(self, data, headers=None):
        """Bytes, or the range of them that is asked for."""
        if self.faulty == "changed":
            data = bytes(len(data))
        headers, status = {"Accept-Ranges": "bytes", **(headers or {})}, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"], status = f"bytes {first}-{last}/{len(data)}", 206
            data = data[first : last + 1]
        self.reply(status, data, headers, cut=self.faulty == "cut")

    def commit_of(self, repository, revision):
        return repository.head if revision == "main" else revision if revision in repository.commits else None

    def has_access(self, repository):
        return not repository.gated or self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def refuse_gated(self):
        status = 403 if self.headers.get("Authorization") else 401
        self.refuse(status, "GatedRepo", "Access to this repository is restricted")

    def refuse(self, status, code, message, headers=None):
        extra = {"Retry-After": "1"} if status == 429 else {}
        named = {"X-Error-Code": code} if code else {}
        body = json.dumps({"error": message}).encode()
        self.reply(status, body, {"X-Error-Message": message, **named, **extra, **(headers or {})})

    def json(self, value):
        self.reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def reply(self, status, data, headers, cut=False):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True
            self.wfile.flush()
