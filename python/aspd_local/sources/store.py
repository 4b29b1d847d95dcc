"""The user's cache: the folder in which packaged models are kept. Knows nothing of where they come from."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aspd_local.errors import DiskFullError

_log = logging.getLogger(__name__)
# Where a user without a home has caches: a place that holds nothing, cannot be made, and says why.
_NO_HOME = Path(os.devnull) / "no home folder, set"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Store:
    """A folder with `models/NAME.gguf`. A file has that name only when it is whole and its checksum right.

    Args:
        root: the folder, which need not exist; None is the one that the variable ASPD_CACHE_DIR names, else
            the system's place for a program's cache. Where neither the variable nor a home folder says where,
            nothing is found in it, and nothing can be written.
    """

    def __init__(self, root: Path | None = None) -> None:
        if root is None:
            root = in_home(_users_cache, "ASPD_CACHE_DIR")
        self.root = root.absolute()
        self.models = self.root / "models"

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def path(self, name: str) -> Path:
        """Where the model `name` is, or would be."""
        return self.models / f"{name}.gguf"

    def files(self) -> list[Path]:
        """All models of the store, by name."""
        return sorted(path for path in self.models.glob("*.gguf") if path.is_file())

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the lock of one model; a second process waits here until the first is done or dead.

        Raises:
            OSError: the folder cannot be written.
        """
        with locked(self.models / ".locks" / f"{name}.lock"):
            yield


def in_home(find: Callable[[], Path], variable: str) -> Path:
    """The path that `find` gives, which raises RuntimeError for a user without a home, as of an id without an
    entry: then a path under which nothing is found, and nothing can be written. The errors of that name the
    variable of the environment that moves it.
    """
    try:
        return find()
    except RuntimeError:
        return _NO_HOME / variable


def _users_cache() -> Path:
    if folder := os.environ.get("ASPD_CACHE_DIR"):
        return Path(folder).expanduser()
    import platformdirs

    root = Path(platformdirs.user_cache_dir("aspd-local", appauthor=False))
    if not root.is_absolute():  # "~/.cache", where nobody knows what ~ is
        raise RuntimeError
    return root


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, made if absent. The system frees it when its process dies.

    Raises:
        OSError: the folder cannot be written.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path, mode=0o664)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _log.info("waiting for another process, which holds %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def require_space(source: str, folder: Path, needed: int) -> None:
    """Checks that a folder has room.

    Args:
        source: what is to be written, for the message.
        folder: an existing folder.
        needed: bytes.

    Raises:
        DiskFullError: there is less.
    """
    if shutil.disk_usage(folder).free < needed:
        raise DiskFullError(source, str(folder), needed)


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for lack of room: disk, quota or largest file size."""
    return error.errno in _FULL


def publish(incomplete: Path, path: Path) -> None:
    """Gives a finished file its name in one step: a crash leaves the old state or the new, never half a file.

    Raises:
        OSError: the disk failed.
    """
    with incomplete.open("r+b") as file:
        os.fsync(file.fileno())
    incomplete.replace(path)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that has its name only when it is whole; makes its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    incomplete = path.with_suffix(f".{os.getpid()}.incomplete")
    try:
        incomplete.write_bytes(data)
        publish(incomplete, path)
    finally:
        incomplete.unlink(missing_ok=True)
