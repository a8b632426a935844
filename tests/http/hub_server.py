"""A Hugging Face hub on this machine: 127.0.0.1 has the API and the small files, 127.0.0.2, as a CDN would, what lies
in Git LFS.  The Python package huggingface_hub loads from it, and it misbehaves on demand:

    with Hub() as hub:
        repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": weights})
        hub.on("cdn GET", serve(cut=1000))     # the next such request, then it is itself again
        hub.on("/api/models/", error(503), times=None)

Nothing here is a thread's own: requests run in threads, a test reads `asked` when the client has ended."""

import collections
import email.utils
import gzip
import hashlib
import http.server
import json
import re
import select
import socket
import threading
import time
import urllib.parse

Asked = collections.namedtuple("Asked", "side method path headers")
LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pth", ".model")
MODEL = r"([\w.-]+/[\w.-]+)"


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class File:
    """One file of a commit as git and LFS know it."""

    def __init__(self, path, data):
        self.path, self.data = path, data
        self.sha256 = hashlib.sha256(data).hexdigest() if path.endswith(LFS_SUFFIXES) else None
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(data)}\n".encode()
        self.pointer_size = len(pointer)
        self.blob_id = git_sha1(pointer if self.sha256 else data)

    @property
    def etag(self):
        """The name of its blob in a cache."""
        return self.sha256 or self.blob_id

    def sibling(self):
        lfs = {"sha256": self.sha256, "size": len(self.data), "pointerSize": self.pointer_size}
        return {"rfilename": self.path, "size": len(self.data), "blobId": self.blob_id} | ({"lfs": lfs} if self.sha256 else {})

    def tree_entry(self):
        lfs = {"oid": self.sha256, "size": len(self.data), "pointerSize": self.pointer_size}
        return {"type": "file", "oid": self.blob_id, "size": len(self.data), "path": self.path} | ({"lfs": lfs} if self.sha256 else {})


class Repo:
    def __init__(self, name, private, gated, edit):
        self.name, self.private, self.gated, self.edit = name, private, gated, edit
        self.commits, self.refs = {}, {}

    def commit(self, files, *refs):
        """The commit's id; each of `refs` points to it from now on."""
        contents = {path: File(path, data) for path, data in files.items()}
        sha = hashlib.sha1(json.dumps([self.name] + [(f.path, f.blob_id) for f in contents.values()]).encode()).hexdigest()
        self.commits[sha] = contents
        self.refs |= {ref: sha for ref in refs}
        return sha

    @property
    def sha(self):
        return self.refs["main"]

    def find(self, rev):
        return rev if rev in self.commits else self.refs.get(rev)

    def file(self, path, rev="main"):
        return self.commits[self.find(rev)][path]

    def info(self, sha, blobs):
        siblings = [f.sibling() if blobs else {"rfilename": f.path} for f in self.commits[sha].values()]
        return {"_id": "0", "id": self.name, "modelId": self.name, "sha": sha, "private": self.private, "gated": self.gated,
                "disabled": False, "tags": [], "downloads": 1, "likes": 0, "siblings": siblings}


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self):
        self.hub, self.side = self.server.hub, self.server.side
        if self.path.startswith("http://"):  # as a proxy is asked
            self.path = "/" + self.path.split("/", 3)[3]
        self.hub.note(self)
        rule = self.hub.rule_for(f"{self.side} {self.command} {self.path}")
        try:
            (rule or Request.usual)(self)
        except (ConnectionError, socket.timeout):
            self.close_connection = True

    do_GET = do_HEAD = answer

    # --- answers -----------------------------------------------------------------------------------

    def reply(self, status, body=b"", headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code=None, message=None):
        headers = {"Content-Type": "application/json", "X-Request-Id": "Root=1-0"}
        headers |= {"X-Error-Code": code} if code else {}
        headers |= {"X-Error-Message": message} if message else {}
        self.reply(status, {"error": message or "failed"}, headers)

    def redirect(self, status, location, headers=()):
        self.reply(status, b"Found. Redirecting to " + location.encode(), {"Location": location, **dict(headers)})

    def serve(self, data, etag, headers=(), *, cut=None, ranges=True, content_range=None, more=b"", chunked=False, hold=None):
        """A file, or the part that Range asks for.  cut: bytes of it after which the connection breaks.  content_range:
        what a 206 says.  more: bytes behind the end, which Content-Length counts.  chunked: no Content-Length.
        hold: a Hold that stops it in the middle."""
        start, total, status = 0, len(data), 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"Content-Type": "application/octet-stream", "ETag": f'"{etag}"', "Accept-Ranges": "bytes", **dict(headers)}
        if asked and ranges:
            start, status = int(asked[1]), 206
            if start >= total:
                return self.reply(416, b"", {"Content-Range": f"bytes */{total}"})
            data = data[start:int(asked[2]) + 1 if asked[2] else total]
            headers["Content-Range"] = content_range or f"bytes {start}-{start + len(data) - 1}/{total}"
        data += more
        self.send_response(status)
        for name, value in (headers | ({"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(data)})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.hub.serving():
            if hold:
                self.wfile.write(data[:hold.at])
                if not hold.stop_here(self.connection):
                    return
                data = data[hold.at:]
            if chunked:
                data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    # --- what is asked for ---------------------------------------------------------------------------

    def usual(self, **how):
        url = urllib.parse.urlsplit(self.path)
        for pattern, method in ROUTES[self.side]:
            found = re.fullmatch(pattern, url.path)
            if found:
                return method(self, *map(urllib.parse.unquote, found.groups()), how)
        self.reply(404, b"Not Found")

    def repo(self, name):
        """None: it has been answered."""
        if name in self.hub.renamed:
            self.redirect(307, self.path.replace(name, self.hub.renamed[name], 1))
            return None
        auth = self.headers.get("Authorization")
        if auth is not None and auth != f"Bearer {self.hub.token}":
            self.fail(401, message="Invalid credentials in Authorization header")
            return None
        repo = self.hub.repos.get(name)
        if repo and (not repo.private or auth):
            return repo
        if auth:
            self.fail(404, "RepoNotFound", "Repository not found")
        else:
            self.fail(401, message="Invalid username or password.")
        return None

    def commit(self, name, rev):
        """(repository, commit) or (None, None)"""
        repo = self.repo(name)
        sha = repo and repo.find(rev)
        if repo and not sha:
            self.fail(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return (repo, sha) if sha else (None, None)

    def model_info(self, name, rev, _):
        repo, sha = self.commit(name, rev)
        if repo:
            info = repo.info(sha, "blobs=true" in self.path)
            self.reply(200, repo.edit(info) if repo.edit else info, {"Content-Type": "application/json; charset=utf-8"})

    def model_tree(self, name, rev, _):
        repo, sha = self.commit(name, rev)
        if repo:
            files = repo.commits[sha].values()
            folders = {f.path.rsplit("/", 1)[0] for f in files if "/" in f.path}
            tree = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": d} for d in folders]
            self.reply(200, tree + [f.tree_entry() for f in files], {"Content-Type": "application/json; charset=utf-8"})

    def file_of(self, name, rev, path):
        """(file, headers) or (None, None)"""
        repo, sha = self.commit(name, rev)
        if not repo:
            return None, None
        auth = self.headers.get("Authorization")
        if repo.gated and not (auth and self.hub.terms_accepted):
            self.fail(403 if auth else 401, "GatedRepo", f"Access to model {name} is restricted.")
            return None, None
        file = repo.commits[sha].get(path)
        if not file:
            self.fail(404, "EntryNotFound", "Entry not found")
            return None, None
        return file, {"X-Repo-Commit": sha, "X-Linked-Size": len(file.data), "X-Linked-ETag": f'"{file.etag}"', "Vary": "Origin"}

    def resolve(self, name, rev, path, _):
        file, headers = self.file_of(name, rev, path)
        if not file:
            return
        if file.sha256:
            self.redirect(302, f"{self.hub.cdn_url}/lfs/{file.sha256}/{urllib.parse.quote(path)}?X-Signature=signed-by-the-hub", headers)
        else:
            quoted = urllib.parse.quote(path, safe="")
            self.redirect(307, f"/api/resolve-cache/models/{name}/{headers['X-Repo-Commit']}/{quoted}?etag=%22{file.etag}%22", headers)

    def resolve_cache(self, name, sha, path, how):
        file, headers = self.file_of(name, sha, path)
        if not file:
            return
        if "gzip" in self.headers.get("Accept-Encoding", ""):  # the public hub does, and then knows no ranges
            return self.reply(200, gzip.compress(file.data), headers | {"ETag": f'W/"{file.etag}"', "Content-Encoding": "gzip"})
        self.serve(file.data, file.etag, headers, **how)

    def lfs(self, sha256, _, how):
        data = self.hub.lfs_data(sha256)
        if data is None or "X-Signature=signed-by-the-hub" not in self.path:
            return self.reply(403, b"<Error><Code>AccessDenied</Code></Error>")
        self.serve(data, sha256, **how)


ROUTES = {"hub": [(f"/api/models/{MODEL}/revision/([^/]+)", Request.model_info),
                  (f"/api/models/{MODEL}/tree/([^/]+)", Request.model_tree),
                  (f"/api/resolve-cache/models/{MODEL}/([^/]+)/([^/]+)", Request.resolve_cache),
                  (f"/{MODEL}/resolve/([^/]+)/(.+)", Request.resolve)],
          "cdn": [("/lfs/([^/]+)/(.+)", Request.lfs)]}


# --- faults: each makes what `Hub.on` takes -----------------------------------------------------------------

def serve(**how):
    """As usual, but for how the content goes out: see Request.serve."""
    return lambda r: r.usual(**how)


def content(data):
    """Other bytes than those that were asked for."""
    return lambda r: r.serve(data, "0" * 40)


def error(status, code=None, message=None, **headers):
    def fail(r):
        named = {"X-Error-Code": code, "X-Error-Message": message} | {k.replace("_", "-"): v for k, v in headers.items()}
        r.reply(status, {"error": message}, {k: v for k, v in named.items() if v is not None})
    return fail


def body(data, status=200):
    return lambda r: r.reply(status, data)


def redirect(location, status=302):
    """location: a text, or a function of the request's path."""
    return lambda r: r.redirect(status, location if isinstance(location, str) else location(r.path))


def hang_up(r):
    """Closes without a word."""
    r.close_connection = True
    r.connection.shutdown(socket.SHUT_RDWR)


def http_date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


class Hold:
    """Stops a file after `at` bytes: `reached` is set then, and it goes on with `release`, or ends when the client
    leaves (`left` is set)."""

    def __init__(self, at):
        self.at = at
        self.reached, self.release, self.left = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, request):
        request.usual(hold=self)

    def stop_here(self, connection):
        self.reached.set()
        while not self.release.wait(0.01):
            if select.select([connection], [], [], 0)[0]:
                self.left.set()
                return False
        return True


# --- the hub -------------------------------------------------------------------------------------------------

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub, side, host):
        super().__init__((host, 0), Request)
        self.hub, self.side = hub, side
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, *_):
        """A client that leaves is no error here; what is one, its test sees from outside."""


class Hub:
    token = "hf_OpenSesame"

    def __init__(self, cdn_host="127.0.0.2"):
        self.repos, self.renamed, self.rules, self.asked, self.leaks = {}, {}, [], [], []
        self.terms_accepted = False
        self.lock = threading.Lock()
        self.n_serving = self.most_at_once = 0
        self.hub, self.cdn = Server(self, "hub", "127.0.0.1"), Server(self, "cdn", cdn_host)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.hub.server_port}"

    @property
    def cdn_url(self):
        return "http://%s:%d" % self.cdn.server_address

    def add(self, name, files, *refs, private=False, gated=False, edit=None):
        """edit: changes what the API says of it."""
        repo = self.repos[name] = Repo(name, private, gated, edit)
        repo.commit(files, "main", *refs)
        return repo

    def on(self, pattern, answer, times=1):
        """The next `times` requests (None: all) whose "hub GET /path" has the pattern are answered by `answer`."""
        with self.lock:
            self.rules.append([re.compile(pattern), answer, times])

    def rule_for(self, text):
        with self.lock:
            for rule in self.rules:
                if rule[2] == 0 or not rule[0].search(text):
                    continue
                if rule[2]:
                    rule[2] -= 1
                return rule[1]
        return None

    def note(self, request):
        with self.lock:
            self.asked.append(Asked(request.side, request.command, request.path, dict(request.headers)))
            if request.side == "cdn" and "Authorization" in request.headers:
                self.leaks.append(request.path)

    def serving(self):
        return Serving(self)

    def lfs_data(self, sha256):
        for repo in self.repos.values():
            for files in repo.commits.values():
                for f in files.values():
                    if f.sha256 == sha256:
                        return f.data
        return None

    def requests(self, pattern=""):
        """Those so far whose "hub GET /path" has the pattern."""
        with self.lock:
            return [a for a in self.asked if re.search(pattern, f"{a.side} {a.method} {a.path}")]

    def forget(self):
        with self.lock:
            self.asked.clear()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with self.lock:
            for _, answer, _ in self.rules:
                if isinstance(answer, Hold):
                    answer.release.set()
        for server in (self.hub, self.cdn):
            server.shutdown()
            server.server_close()
        if kind is None:
            assert not self.leaks, f"the token came to another host: {self.leaks}"


class Serving:
    """Counts how many files go out at one time."""

    def __init__(self, hub):
        self.hub = hub

    def __enter__(self):
        with self.hub.lock:
            self.hub.n_serving += 1
            self.hub.most_at_once = max(self.hub.most_at_once, self.hub.n_serving)

    def __exit__(self, *_):
        with self.hub.lock:
            self.hub.n_serving -= 1
