"""The loopback hub with its write side: repositories are made, files uploaded through Git LFS, commits taken.

    with WritableHub() as hub:
        environment = {**os.environ, **hub.environment(tmp_path, OWNER_TOKEN)}

`ann` owns OWNER_TOKEN and is in the organisation `lab`; READER_TOKEN is hers, too, and may not write.
"""

import base64
import hashlib
import json
import re
import urllib.parse

from rsft_assets_tests.loopback_hub import LARGE, TOKEN, LoopbackHub, Repository, _Handler, entry_of

OWNER_TOKEN, READER_TOKEN = TOKEN, "hf_reader"
_KINDS = {"models": "model", "datasets": "dataset"}


class WritableHub(LoopbackHub):
    """The server; use it as a context."""

    def __init__(self):
        super().__init__()
        self.RequestHandlerClass = _CommitHandler
        self.uploaded = {}
        """sha256 -> content, whether it was committed or not."""
        self.commits = []
        """(kind, repository, paths) in the order they came."""
        self.private = set()

    def content_of(self, kind, name):
        """Path -> bytes at the head of a repository."""
        repository = self.repositories[(kind, name)]
        return repository.commits[repository.head]


class _CommitHandler(_Handler):
    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate_yaml"),
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/preupload/main", "preupload"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/commit/main", "commit"),
        ("POST", r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", "lfs_batch"),
        ("PUT", r"/lfs/(\w+)", "lfs_upload"),
    )

    def do_POST(self):
        self.body = self.read_body()
        self.serve()

    def do_PUT(self):
        self.body = self.read_body()
        self.serve()

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def serve(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        for method, pattern, name in self.ROUTES:
            if self.command == method and (found := re.fullmatch(pattern, path)):
                self.server.requests.append((self.command, path))
                self.faulty = self.server.next_fault(path)
                if isinstance(self.faulty, int):
                    return self.refuse(self.faulty, "", "told to fail")
                if name != "lfs_upload" and self.token() not in (OWNER_TOKEN, READER_TOKEN):
                    return self.refuse(401, "", "Invalid username or password.")
                return getattr(self, name)(*found.groups())
        return super().serve()

    def token(self):
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def may_write(self):
        if self.token() == OWNER_TOKEN:
            return True
        self.refuse(403, "", "You don't have the rights to write")
        return False

    def whoami(self):
        self.json({"type": "user", "name": "ann", "orgs": [{"name": "lab", "type": "org"}]})

    def validate_yaml(self):
        said = json.loads(self.body)
        header = re.match(r"---\n(.*?)\n---\n", said["content"], flags=re.DOTALL)
        self.json({"errors": [], "warnings": [] if header else [{"message": "empty or missing yaml metadata"}]})

    def create(self):
        said = json.loads(self.body)
        key = (said.get("type", "model"), f"{said['organization']}/{said['name']}")
        if not self.may_write():
            return None
        if key in self.server.repositories:
            return self.refuse(409, "", "You already created this repo")
        self.server.commit(*key, {".gitattributes": b"*.parquet filter=lfs\n"})
        if said.get("visibility") == "private":
            self.server.private.add(key)
        return self.json({"url": f"{self.server.url}/{'datasets/' if key[0] == 'dataset' else ''}{key[1]}"})

    def preupload(self, kinds, name):
        files = self.repository(kinds, name).commits[self.repository(kinds, name).head]
        answers = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) else "regular"
            oid = entry_of(path, files[path])["oid"] if path in files else None
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.json({"files": answers})

    def repository(self, kinds, name) -> Repository:
        return self.server.repositories[(_KINDS[kinds], name)]

    def lfs_batch(self, _kinds, _name):
        if not self.may_write():
            return
        objects = []
        for one in json.loads(self.body)["objects"]:
            needed = one["oid"] not in self.server.uploaded
            upload = {"actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}} if needed else {}
            objects.append({"oid": one["oid"], "size": one["size"], **upload})
        self.json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.refuse(400, "", "another content")
        self.server.uploaded[oid] = self.body
        return self.reply(200, b"", {})

    def commit(self, kinds, name):
        if not self.may_write():
            return None
        repository = self.repository(kinds, name)
        files, paths = dict(repository.commits[repository.head]), []
        for line in self.body.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "header":
                if value.get("parentCommit", repository.head) != repository.head:
                    return self.refuse(412, "", "A commit has happened since.")
                continue
            paths.append(value["path"])
            if said["key"] == "deletedFile":
                del files[value["path"]]
            elif said["key"] == "lfsFile":
                files[value["path"]] = self.server.uploaded[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        commit = self.server.commit(_KINDS[kinds], name, files)
        self.server.commits.append((_KINDS[kinds], name, sorted(paths)))
        prefix = "datasets/" if kinds == "datasets" else ""
        return self.json({"commitUrl": f"{self.server.url}/{prefix}{name}/commit/{commit}", "commitOid": commit})
