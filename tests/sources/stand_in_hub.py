"""A hub on 127.0.0.1 that answers as the real one does, and misbehaves on request.

Two servers: the hub itself (listing, and redirects for large files) and a second host for the bytes, so that
it shows what a client sends where. `sent` counts the bytes of files that left.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0ff"
FILE = "Tiny-Q4_K_M.gguf"  # of the repository that the tests use
SIZE = 400_003  # bytes of that file


@dataclass
class Misbehaviour:
    """What goes wrong from now on. Fields that are lists are used up, one entry per request."""

    drop_after: list[int] = field(default_factory=list)  # bytes of the body, then the connection closes
    statuses: list[int] = field(default_factory=list)  # of requests for bytes, on the hub
    listing_statuses: list[int] = field(default_factory=list)
    error_code: str = ""  # X-Error-Code beside a status
    ignore_range: bool = False
    ignore_if_range: bool = False
    shift_range: int = 0  # bytes by which the start of a range is wrong
    say_length: bool = True  # Content-Length, or the end of the connection
    body: bytes | None = None  # instead of the file
    etag: str = ""  # of the second host, instead of its own
    linked_etag: str = ""  # X-Linked-Etag, instead of the checksum
    before_body: Callable[[], None] | None = None
    pause_after: int | None = None  # bytes of the body, then it waits for `resume`
    resume: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Seen:
    """A request."""

    host: str  # "hub" or "cdn"
    method: str
    path: str
    headers: dict[str, str]  # names in lower case


class StandInHub:
    """One repository with files. Use as a context manager."""

    def __init__(
        self, files: dict[str, bytes], *, repo: str = "acme/tiny-GGUF", plain: tuple[str, ...] = ()
    ) -> None:
        self.files = files
        self.repo = repo
        self.plain = plain  # files that are kept in git: no redirect, git's hash
        self.renamed_from: str | None = None
        self.revisions = {"main": COMMIT}
        self.wrong = Misbehaviour()
        self.seen: list[Seen] = []
        self.sent = 0
        self._lock = threading.Lock()
        self._servers = [self._server("hub"), self._server("cdn")]
        self.url, self.cdn_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> StandInHub:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wrong.resume.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def digest(self, file: str) -> str:
        """The checksum that the hub names."""
        data = self.files[file]
        if file in self.plain:
            return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return hashlib.sha256(data).hexdigest()

    def requests_for_bytes(self) -> list[Seen]:
        return [seen for seen in self.seen if "/resolve/" in seen.path or seen.host == "cdn"]

    def reset_counts(self) -> None:
        self.seen.clear()
        self.sent = 0

    def count(self, number: int) -> None:
        with self._lock:
            self.sent += number

    def _server(self, host: str) -> ThreadingHTTPServer:
        hub = self

        class Handler(_Handler):
            name = host
            stand_in = hub

        server = _QuietServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        return server


class _QuietServer(ThreadingHTTPServer):
    """A client that is killed is part of the tests, no reason to print a traceback."""

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name: str
    stand_in: StandInHub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.stand_in
        path = unquote(urlsplit(self.path).path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        hub.seen.append(Seen(self.name, self.command, path, headers))
        if self.name == "cdn":
            self._send_file(path.removeprefix("/bytes/"))
        elif path.startswith("/api/models/"):
            self._send_listing(path.removeprefix("/api/models/"))
        elif hub.renamed_from and path.startswith(f"/{hub.renamed_from}/"):
            self._answer(307, {"Location": self.path.replace(hub.renamed_from, hub.repo)})
        elif path.startswith(f"/{hub.repo}/resolve/"):
            self._resolve(path.removeprefix(f"/{hub.repo}/resolve/").partition("/")[2])
        else:
            self._answer(404, {"X-Error-Code": "RepoNotFound"})

    def _send_listing(self, what: str) -> None:
        hub = self.stand_in
        repo, _, revision = what.partition("/revision/")
        commit = hub.revisions.get(revision or "main", revision if revision == COMMIT else None)
        if hub.wrong.listing_statuses:
            self._answer(hub.wrong.listing_statuses.pop(0), {"X-Error-Code": hub.wrong.error_code})
        elif repo not in (hub.repo, hub.renamed_from):
            self._answer(404, {"X-Error-Code": "RepoNotFound"})
        elif commit is None:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = []
            for file, data in hub.files.items():
                entry: dict[str, object] = {"rfilename": file, "size": len(data), "blobId": "1" * 40}
                if file in hub.plain:
                    entry["blobId"] = hub.digest(file)
                else:
                    entry["lfs"] = {"size": len(data), "sha256": hub.digest(file), "pointerSize": 130}
                siblings.append(entry)
            body = json.dumps({"id": hub.repo, "sha": commit, "siblings": siblings}).encode()
            self._answer(200, {"Content-Type": "application/json"}, body)

    def _resolve(self, file: str) -> None:
        hub = self.stand_in
        if hub.wrong.statuses and self.command == "GET":
            self._answer(hub.wrong.statuses.pop(0), {"X-Error-Code": hub.wrong.error_code})
        elif file not in hub.files:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        elif file in hub.plain:
            self._send_file(file)
        else:
            linked = hub.wrong.linked_etag or hub.digest(file)
            headers = {
                "Location": f"{hub.cdn_url}/bytes/{file}",
                "X-Repo-Commit": COMMIT,
                "X-Linked-Etag": f'"{linked}"',
                "X-Linked-Size": str(len(hub.files[file])),
            }
            self._answer(302, headers)

    def _send_file(self, file: str) -> None:
        hub = self.stand_in
        wrong = hub.wrong
        data = hub.files[file] if wrong.body is None else wrong.body
        etag = wrong.etag or (hub.digest(file) if file in hub.plain else hashlib.md5(data).hexdigest())
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        fits = wrong.ignore_if_range or self.headers.get("If-Range") in (None, f'"{etag}"')
        if not wanted or wrong.ignore_range or not fits:
            self._send_body(200, headers, data)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) + wrong.shift_range
        if first >= len(data):
            self._answer(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._send_body(206, headers, data[first:])

    def _send_body(self, status: int, headers: dict[str, str], body: bytes) -> None:
        hub = self.stand_in
        wrong = hub.wrong
        if wrong.before_body:
            wrong.before_body()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if wrong.say_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        if wrong.drop_after:
            body = body[: wrong.drop_after.pop(0)]
            self.close_connection = True
        if wrong.pause_after is not None:
            self._write(body[: wrong.pause_after])
            body, wrong.pause_after = body[wrong.pause_after :], None
            wrong.resume.wait(20)
        self._write(body)

    def _write(self, data: bytes) -> None:
        self.stand_in.count(len(data))  # first, or the client may be done before
        try:
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value:
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
