"""One file over HTTP: resumed where it stopped, checked by length, etag and checksum, renamed in one step.

Knows nothing of repositories or caches. huggingface-hub brings the HTTP client (its settings for proxies and
certificates hold here too), but neither resumes across runs nor checks what arrived; this module does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx2
from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

from aspd_local.errors import DiskFullError, DownloadError, HashMismatchError, OfflineError
from aspd_local.sources.digest import CHUNK, hasher_for, is_digest
from aspd_local.sources.progress import Progress
from aspd_local.sources.retry import PASSING_STATUSES, Retry
from aspd_local.sources.store import is_disk_full, publish, require_space

_log = logging.getLogger(__name__)
_MOST_REDIRECTS = 10
_MOST_RESTARTS = 2
_DENIED = {401, 403}
_RANGE = re.compile(r"bytes (?P<first>\d{1,18})-\d{1,18}/(?P<total>\d{1,18}|\*)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file at a URL, and what it must be.

    Attributes:
        source: its name in messages.
        url: where it is.
        size: bytes.
        digest: sha256, or git's blob hash; hexadecimal.
        headers: sent with each request; `authorization` only to the origin of `url`.
        denied: what to say where the server refuses access.
    """

    source: str
    url: str
    size: int
    digest: str
    headers: Mapping[str, str]
    denied: str = "access denied"


class _PassingTroubleError(Exception):
    """The same request may work later. `asked_s`: seconds to wait, as the server wishes."""

    def __init__(self, reason: str, asked_s: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_s = asked_s


class _StalePartError(Exception):
    """What was kept is not the beginning of the file that the server has."""


class Transfer:
    """Fetches `remote` to `path`. What arrived is kept in `path` + ".incomplete" until it is whole.

    The caller holds a lock: two transfers must not write one file.
    """

    def __init__(self, remote: RemoteFile, path: Path, *, retry: Retry, progress: Progress) -> None:
        self._remote = remote
        self._path = path
        self._incomplete = path.with_name(path.name + ".incomplete")
        self._etag_file = path.with_name(path.name + ".incomplete.etag")
        self._retry = retry
        self._progress = progress
        self._hasher = hasher_for(remote.digest, remote.size)
        self._done = 0
        self._label = remote.source
        self._restarts = 0

    def run(self) -> None:
        """Fetches what is missing, checks the whole, gives it its name.

        Raises:
            DownloadError: the server refuses, is not reachable, or has another file; HashMismatchError,
                OfflineError and DiskFullError are kinds of it. What arrived is kept unless it is wrong.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._open() as file:
                self._fill(file)
            publish(self._incomplete, self._path)
            self._etag_file.unlink(missing_ok=True)
        except HashMismatchError:
            self._incomplete.unlink(missing_ok=True)
            raise
        except OSError as error:
            if is_disk_full(error):
                missing = self._remote.size - self._done
                raise DiskFullError(self._remote.source, str(self._path.parent), missing) from error
            raise DownloadError(self._remote.source, f"cannot write {self._incomplete}: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """The incomplete file, unbuffered, positioned behind what is kept, which has been hashed."""
        self._incomplete.touch()
        with self._incomplete.open("r+b", buffering=0) as file:
            if self._incomplete.stat().st_size > self._remote.size:
                self._restart(file)
            while data := file.read(CHUNK):
                self._hasher.update(data)
                self._done += len(data)
            require_space(self._remote.source, self._path.parent, self._remote.size - self._done)
            yield file

    def _fill(self, file: BinaryIO) -> None:
        """Receives until the file is whole and its checksum right."""
        while True:
            spliced = self._receive(file)
            actual = self._hasher.hexdigest()
            if actual == self._remote.digest:
                return
            self._restart(file)
            if not spliced or self._restarts > _MOST_RESTARTS:
                raise HashMismatchError(str(self._path), self._remote.digest, actual, self._remote.source)
            _log.info("%s: what was kept is not part of this file; starting again", self._remote.source)

    def _receive(self, file: BinaryIO) -> bool:
        """Receives until the length is right. Returns whether the bytes come from more than one response."""
        self._progress(self._done, self._remote.size, self._label)
        spliced = self._done > 0
        failures = 0
        while self._done < self._remote.size:
            before = self._done
            try:
                self._request(file)
            except _StalePartError as error:
                if self._restarts >= _MOST_RESTARTS:
                    raise DownloadError(self._remote.source, str(error)) from None
                self._restart(file)
            except _PassingTroubleError as error:
                failures = 1 if self._done > before else failures + 1
                if failures > self._retry.limit:
                    raise DownloadError(self._remote.source, str(error)) from error.__cause__
                _log.info("%s: %s; trying again", self._remote.source, error)
                self._retry.pause(failures, error.asked_s)
                spliced = True
        return spliced

    def _request(self, file: BinaryIO) -> None:
        """One request for what is missing, to the end of its response."""
        headers = {**self._remote.headers, "accept-encoding": "identity"}
        if self._done:
            headers["range"] = f"bytes={self._done}-"
            if etag := self._kept_etag():
                headers["if-range"] = etag
        try:
            with self._follow(headers) as response:
                self._begin(file, response)
                for data in response.iter_raw():
                    self._write(file, data)
        except httpx2.TransportError as error:
            raise _PassingTroubleError(f"the connection failed: {error or type(error).__name__}") from error
        except OfflineModeIsEnabled as error:
            raise OfflineError(self._remote.source, "HF_HUB_OFFLINE is set") from error
        if self._done < self._remote.size:
            raise _PassingTroubleError(f"the connection ended at {self._done} of {self._remote.size} bytes")

    @contextmanager
    def _follow(self, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        """The response behind all redirects. The token goes to the first URL's origin and to no other."""
        url = self._remote.url
        for _ in range(_MOST_REDIRECTS):
            with get_session().stream(
                "GET", url, headers=headers, follow_redirects=False, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
            ) as response:
                self._check_named_etag(response)
                if not response.has_redirect_location:
                    yield response
                    return
                url = self._redirected(url, response.headers["location"])
            if _origin(url) != _origin(self._remote.url):
                headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
        raise DownloadError(self._remote.source, f"more than {_MOST_REDIRECTS} redirects")

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            scheme, host, port = _origin(target)
        except ValueError:
            raise DownloadError(self._remote.source, "the server sent a malformed redirect") from None
        if scheme not in _PORTS or not host or (scheme == "http" and url.startswith("https:")):
            raise DownloadError(
                self._remote.source, f"refused to follow a redirect to {scheme}://{host}:{port}"
            )
        return target

    def _check_named_etag(self, response: httpx2.Response) -> None:
        """Compares the checksum that the hub sends along, if it does, with the one in its listing."""
        own = "" if response.has_redirect_location else response.headers.get("etag", "")
        etag = response.headers.get("x-linked-etag", own).removeprefix("W/").strip('"')
        is_hub = _origin(str(response.url)) == _origin(self._remote.url)
        if is_hub and is_digest(etag) and response.status_code < 400 and etag != self._remote.digest:
            reason = f"the file changed on the server: {self._remote.digest} was listed, it now has {etag}"
            raise DownloadError(self._remote.source, reason)

    def _begin(self, file: BinaryIO, response: httpx2.Response) -> None:
        """Checks status, range, length and etag; goes back to the start if the server sends the whole."""
        self._check_status(response)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadError(self._remote.source, "the server sent it compressed, which was not asked for")
        etag = response.headers.get("etag", "")
        if response.status_code == 206:
            said = _RANGE.fullmatch(response.headers.get("content-range", ""))
            self._check_length(said["total"] if said else "*")
            if said is None or int(said["first"]) != self._done:
                raise _StalePartError("the server sent another range than was asked for")
            if etag and self._kept_etag() and etag != self._kept_etag():
                raise _StalePartError("the etag changed during the download")
            return
        self._check_length(response.headers.get("content-length", "*"))
        if self._done:
            _log.info("%s: the server does not resume; starting again", self._remote.source)
            self._rewind(file)
        # Only a strong etag may stand in If-Range.
        self._etag_file.write_text(etag if etag.startswith('"') else "", encoding="utf-8")

    def _check_length(self, said: str) -> None:
        """`said`: bytes of the whole file as the server has it; "*" where it does not say."""
        if said not in ("*", str(self._remote.size)):
            reason = f"wrong length: {self._remote.size} bytes expected, the server has {said}"
            raise DownloadError(self._remote.source, reason)

    def _check_status(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status == 416:
            raise _StalePartError("the server has fewer bytes than were kept")
        if status in PASSING_STATUSES:
            asked = response.headers.get("retry-after", "")
            asked_s = float(asked) if asked.isdecimal() else 0.0
            raise _PassingTroubleError(f"the server answered HTTP {status}", asked_s)
        if status in _DENIED:
            raise DownloadError(self._remote.source, f"{self._remote.denied} (HTTP {status})")
        if status in (404, 410):
            raise DownloadError(self._remote.source, f"not found (HTTP {status})")
        raise DownloadError(self._remote.source, f"the server answered HTTP {status}")

    def _write(self, file: BinaryIO, data: bytes) -> None:
        if self._done + len(data) > self._remote.size:
            self._restart(file)
            reason = f"wrong length: {self._remote.size} bytes expected, the server sent more"
            raise DownloadError(self._remote.source, reason)
        view = memoryview(data)
        while view:
            written = file.write(view)
            self._hasher.update(view[:written].tobytes())
            self._done += written
            view = view[written:]
        self._progress(self._done, self._remote.size, self._label)

    def _restart(self, file: BinaryIO) -> None:
        """Throws away what is kept, because it is not part of this file."""
        self._restarts += 1
        self._rewind(file)
        self._etag_file.unlink(missing_ok=True)

    def _rewind(self, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        self._hasher = hasher_for(self._remote.digest, self._remote.size)
        self._done = 0

    def _kept_etag(self) -> str:
        """The strong etag of the response that the kept bytes came from; empty where there was none."""
        try:
            return self._etag_file.read_text(encoding="utf-8")
        except OSError:
            return ""


def _origin(url: str) -> tuple[str, str, int]:
    """(scheme, host, port)"""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
