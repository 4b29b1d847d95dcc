"""Models on a Hugging Face hub, kept in the cache that huggingface-hub's other users share.

The library lists the files and says where its cache is (it reads HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT
and HF_HUB_OFFLINE); transfer.py fetches them, hub_cache.py keeps them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from aspd_local.errors import DownloadError, OfflineError
from aspd_local.sources.digest import is_digest
from aspd_local.sources.hub_cache import HubCache, is_commit
from aspd_local.sources.progress import Progress
from aspd_local.sources.reference import HubReference
from aspd_local.sources.retry import PASSING_STATUSES, Retry
from aspd_local.sources.transfer import RemoteFile, Transfer

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A repository at one commit.

    Attributes:
        commit: 40 hexadecimal digits.
        files: path in the repository -> (size in bytes, checksum).
    """

    commit: str
    files: Mapping[str, tuple[int, str]]


class _UnreachableError(DownloadError):
    """The hub did not answer, or answered that it is not well."""


class Hub:
    """One hub and the cache of its files.

    Args:
        endpoint: URL of the hub; None is what huggingface-hub uses.
        cache: folder of the cache; None is what huggingface-hub uses.
        token: access token; None is what huggingface-hub finds.
        retry: how often a request is tried again.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        cache: Path | None = None,
        token: str | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._cache = HubCache(
            cache or Path(constants.HF_HUB_CACHE), links=not constants.HF_HUB_DISABLE_SYMLINKS
        )
        self._token = token
        self._retry = retry or Retry()

    def cached(self, reference: HubReference) -> Path | None:
        """The first file of the model where all of it is in the cache. Asks nobody.

        Raises:
            DownloadError: the name fits several models of the cache.
        """
        snapshot = self._cache.snapshot(reference)
        if snapshot is None:
            return None
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*.gguf") if path.is_file()]
        whole = [parts for parts in reference.matches(names) if set(parts) <= set(names)]
        if len(whole) > 1:
            raise _ambiguous(reference, whole)
        return snapshot / whole[0][0] if whole else None

    def fetch(self, reference: HubReference, *, progress: Progress) -> Path:
        """Brings all files of the model into the cache and returns the path of the first.

        A file that is there is not fetched again. If the hub cannot be reached, what the cache has is taken.

        Raises:
            DownloadError: the hub has no such model or several, refuses, or cannot be reached; see Transfer.
            OfflineError: HF_HUB_OFFLINE is set and the model is not in the cache.
        """
        try:
            listing = self._list(reference)
        except (_UnreachableError, OfflineError) as error:
            if path := self.cached(reference):
                _log.warning("%s; using the file in the cache", error)
                return path
            raise
        parts = _choose(reference, listing)
        total = sum(listing.files[part][0] for part in parts)
        before = 0
        for number, part in enumerate(parts, 1):
            label = part if len(parts) == 1 else f"{part} ({number} of {len(parts)})"
            self._fetch_file(reference, listing, part, _shifted(progress, before, total, label))
            before += listing.files[part][0]
        self._cache.remember(reference, listing.commit)
        return self._cache.pointer(reference.repo, listing.commit, parts[0])

    def digest_of(self, path: Path) -> str | None:
        """The checksum that a file of the cache must have; None where the cache does not know it."""
        return self._cache.digest_of(path)

    def files(self) -> list[tuple[str, Path]]:
        """All GGUF files of the cache, each with the name that finds it."""
        return self._cache.files()

    def _list(self, reference: HubReference) -> Listing:
        """Asks the hub for the files of a repository."""
        failures = 0
        while True:
            try:
                return self._list_once(reference)
            except HfHubHTTPError as error:
                failures += 1
                status = error.response.status_code
                if status not in PASSING_STATUSES:
                    denied = self._denied(reference) + " " if status in (401, 403) else "the hub answered "
                    raise DownloadError(str(reference), f"{denied}(HTTP {status})") from error
                if failures > self._retry.limit:
                    raise _UnreachableError(str(reference), f"the hub answered HTTP {status}") from error
                self._retry.pause(failures)

    def _list_once(self, reference: HubReference) -> Listing:
        source = str(reference)
        try:
            info = HfApi(self._endpoint, library_name="aspd-local", library_version=_version()).model_info(
                reference.repo,
                revision=reference.revision,
                files_metadata=True,
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
                token=self._token,
            )
        except OfflineModeIsEnabled as error:
            raise OfflineError(source, "not in the cache, and HF_HUB_OFFLINE is set") from error
        except GatedRepoError as error:
            raise DownloadError(source, self._denied(reference)) from error
        except RepositoryNotFoundError as error:
            reason = "no such repository, or one that only a token in HF_TOKEN opens"
            raise DownloadError(source, reason) from error
        except RevisionNotFoundError as error:
            raise DownloadError(source, f"the repository has no revision {reference.revision!r}") from error
        except httpx2.TransportError as error:
            reason = f"cannot reach {self._endpoint}: {error or type(error).__name__}"
            raise _UnreachableError(source, reason) from error
        except (ValueError, KeyError, TypeError) as error:
            raise DownloadError(source, f"{self._endpoint} does not answer as a hub does") from error
        files = {}
        for file in info.siblings or ():
            digest = file.lfs.sha256 if file.lfs else file.blob_id
            if file.size is not None and digest and is_digest(digest):
                files[file.rfilename] = (file.size, digest)
        if not is_commit(info.sha or ""):
            raise DownloadError(source, f"{self._endpoint} does not answer as a hub does: no commit")
        return Listing(commit=str(info.sha), files=files)

    def _fetch_file(self, reference: HubReference, listing: Listing, file: str, progress: Progress) -> None:
        """Brings one file into the cache: blobs/CHECKSUM, and a link snapshots/COMMIT/FILE to it."""
        size, digest = listing.files[file]
        pointer = self._cache.pointer(reference.repo, listing.commit, file)
        if pointer.exists():
            return
        blob = self._cache.blob(reference.repo, digest)
        remote = RemoteFile(
            source=f"hf:{reference.repo}/{file}",
            url=hf_hub_url(reference.repo, file, revision=listing.commit, endpoint=self._endpoint),
            size=size,
            digest=digest,
            headers=self._headers(),
            denied=self._denied(reference),
        )
        try:
            with self._cache.lock(reference.repo, digest):
                fresh = not blob.exists()
                if fresh:
                    Transfer(remote, blob, retry=self._retry, progress=progress).run()
                self._cache.link(blob, pointer, may_move=fresh)
        except OSError as error:
            raise DownloadError(remote.source, f"cannot write {self._cache.root}: {error}") from error

    def _headers(self) -> dict[str, str]:
        """Sent with each request for a file."""
        token = self._token
        if token is None and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
            token = get_token()
        headers = {"user-agent": f"aspd-local/{_version()}"}
        return {**headers, "authorization": f"Bearer {token}"} if token else headers

    def _denied(self, reference: HubReference) -> str:
        page = f"{self._endpoint}/{reference.repo}"
        return f"access denied: accept the terms at {page} if it has any, and put your token into HF_TOKEN"


def _choose(reference: HubReference, listing: Listing) -> tuple[str, ...]:
    """The files of the one model that is meant, all of them listed."""
    found = reference.matches(listing.files)
    if len(found) > 1:
        raise _ambiguous(reference, found)
    if not found:
        there = HubReference(repo=reference.repo).matches(listing.files)
        names = tuple(parts[0] for parts in there)
        reason = "no such file; the repository has " + (", ".join(names) or "no GGUF file")
        raise DownloadError(str(reference), reason, names)
    missing = [part for part in found[0] if part not in listing.files]
    if missing:
        raise DownloadError(str(reference), f"a part is missing in the repository: {missing[0]}")
    return found[0]


def _ambiguous(reference: HubReference, found: list[tuple[str, ...]]) -> DownloadError:
    names = tuple(parts[0] for parts in found)
    return DownloadError(str(reference), "name one of " + ", ".join(names), names)


def _shifted(progress: Progress, before: int, total: int, name: str) -> Progress:
    """Progress of one file as part of the whole."""

    def tell(done_bytes: int, *_: object) -> None:
        progress(before + done_bytes, total, name)

    return tell


def _version() -> str:
    try:
        return metadata.version("aspd-local")
    except metadata.PackageNotFoundError:
        return "0"
