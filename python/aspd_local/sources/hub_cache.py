"""The cache of huggingface-hub on disk, which other programs share. Knows no network.

    models--OWNER--REPO/blobs/CHECKSUM            the bytes
    models--OWNER--REPO/snapshots/COMMIT/FILE     links to them
    models--OWNER--REPO/refs/BRANCH               which commit a branch or tag was last seen at

Source: the cache layout of huggingface-hub 2.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from aspd_local.sources.digest import is_digest
from aspd_local.sources.reference import HubReference
from aspd_local.sources.store import in_home, locked

_log = logging.getLogger(__name__)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(text: str) -> bool:
    """Whether `text` is a whole commit, which names a folder."""
    return bool(_COMMIT.fullmatch(text))


class HubCache:
    """The folder `root`, which need not exist. links: whether symbolic links may be made."""

    def __init__(self, root: Path, *, links: bool) -> None:
        self.root = in_home(root.expanduser, "HF_HOME").absolute()
        self._links = links

    def blob(self, repo: str, digest: str) -> Path:
        """Where the bytes with this checksum are, or would be."""
        return self._folder(repo) / "blobs" / digest

    def pointer(self, repo: str, commit: str, file: str) -> Path:
        """Where a file of a commit is, or would be."""
        return self._folder(repo) / "snapshots" / commit / file

    def snapshot(self, reference: HubReference) -> Path | None:
        """The files of the commit that the reference was last seen at; None where there are none."""
        commit = self._commit(reference)
        snapshot = self._folder(reference.repo) / "snapshots" / commit
        return snapshot if is_commit(commit) and snapshot.is_dir() else None

    def files(self) -> list[tuple[str, Path]]:
        """All GGUF files of the cache, each with the name that finds it."""
        found = []
        for path in sorted(self.root.glob("models--*--*/snapshots/*/**/*.gguf")):
            folder, _, commit, *inside = path.relative_to(self.root).parts
            repo = folder.removeprefix("models--").replace("--", "/", 1)
            revision = "" if commit == self._commit(HubReference(repo=repo)) else f"@{commit}"
            if path.is_file():
                found.append((f"hf:{repo}/{'/'.join(inside)}{revision}", path))
        return found

    def digest_of(self, path: Path) -> str | None:
        """The checksum that a file must have; None where the cache does not know it, for lack of links."""
        try:
            digest = path.readlink().name
        except OSError:
            return None
        return digest if is_digest(digest) else None

    def lock(self, repo: str, digest: str) -> AbstractContextManager[None]:
        """Holds the lock file that huggingface-hub takes for this blob, so that other programs wait too."""
        return locked(self.root / ".locks" / self._folder(repo).name / f"{digest}.lock")

    def link(self, blob: Path, pointer: Path, *, may_move: bool) -> None:
        """Makes a snapshot's entry, if it is not there. Without links it becomes the file itself.

        Args:
            blob: the bytes.
            pointer: the entry.
            may_move: whether nothing else uses the blob.

        Raises:
            OSError: the folder cannot be written.
        """
        if pointer.exists():
            return
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            if self._links:
                pointer.symlink_to(os.path.relpath(blob, pointer.parent))
                return
        except OSError:
            _log.info("no links in %s", self.root)
        if not may_move:
            blob = Path(shutil.copyfile(blob, blob.with_name(f"{blob.name}.{os.getpid()}.tmp")))
        blob.replace(pointer)

    def remember(self, reference: HubReference, commit: str) -> None:
        """Writes down which commit a branch or tag is, now that its files are here."""
        if reference.revision == commit:
            return
        path = self._folder(reference.repo) / "refs" / reference.revision
        fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(commit, encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            _log.warning("cannot note the commit of %s: %s", reference, error)

    def _commit(self, reference: HubReference) -> str:
        if is_commit(reference.revision):
            return reference.revision
        try:
            path = self._folder(reference.repo) / "refs" / reference.revision
            return path.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _folder(self, repo: str) -> Path:
        return self.root / f"models--{repo.replace('/', '--')}"
