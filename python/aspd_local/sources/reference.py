"""Names of files on a hub: `hf:owner/repo:Q4_K_M`. Pure text; asks no hub and reads no disk."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_TAG = re.compile(r"[\w.-]+", re.ASCII)
_FILE = re.compile(r"\.gguf\Z|[*?]", re.IGNORECASE)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_NOT_A_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)
_FORMS = "hf:owner/repo:Q4_K_M or hf:owner/repo/file.gguf, with @revision at the end if wanted"


def is_repo(text: str) -> bool:
    """Whether this could be the name of a repository: "owner/repo"."""
    return bool(_REPO.fullmatch(text)) and not text.casefold().endswith(".gguf")


@dataclass(frozen=True, kw_only=True)
class HubReference:
    """What an `hf:` name says.

    Attributes:
        repo: "owner/repo".
        tag: quantisation tag such as "Q4_K_M", any case; None where a file is named.
        pattern: a file's path in the repository, or a pattern with * and ?; None where a tag is given.
        revision: branch, tag or commit.
    """

    repo: str
    tag: str | None = None
    pattern: str | None = None
    revision: str = "main"

    @classmethod
    def parse(cls, name: str) -> HubReference:
        """Reads `hf:owner/repo`, `hf:owner/repo:TAG` or `hf:owner/repo/file.gguf`; `@revision` may follow.

        Raises:
            ValueError: the name is none of these.
        """
        body, _, revision = name.removeprefix("hf:").partition("@")
        repo_and_file, _, tag = body.partition(":")
        owner, _, rest = repo_and_file.partition("/")
        repository, _, pattern = rest.partition("/")
        repo = f"{owner}/{repository}"
        revision = revision or "main"
        if (
            not name.startswith("hf:")
            or name.endswith(("@", ":", "/"))
            or not _REPO.fullmatch(repo)
            or "--" in repo
            or ".." in repo
            or (tag and (pattern or not _TAG.fullmatch(tag)))
            or (pattern and not (_FILE.search(pattern) and is_safe_path(pattern)))
            or not _REVISION.fullmatch(revision)
            or not is_safe_path(revision)
        ):
            raise ValueError(f"malformed name {name!r}: write {_FORMS}")
        return cls(repo=repo, tag=tag or None, pattern=pattern or None, revision=revision)

    def __str__(self) -> str:
        what = f":{self.tag}" if self.tag else f"/{self.pattern}" if self.pattern else ""
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf:{self.repo}{what}{revision}"

    def matches(self, files: Iterable[str]) -> list[tuple[str, ...]]:
        """The models among `files` that this name can mean.

        Args:
            files: paths in the repository.

        Returns:
            For each model its files in order: one, or all parts of a split model of which at least one is in
            `files`, the missing ones too.
        """
        found: dict[str, tuple[str, ...]] = {}
        for file in sorted(files):
            if self._means(file):
                parts = parts_of(file)
                found.setdefault(parts[0], parts)
        return list(found.values())

    def _means(self, file: str) -> bool:
        if not file.lower().endswith(".gguf") or not is_safe_path(file):
            return False
        if self.pattern is not None:
            pattern = self.pattern.lower()
            return file.lower() == pattern or fnmatch.fnmatchcase(file.lower(), pattern)
        if _NOT_A_MODEL.search(file):
            return False
        return self.tag is None or _has_tag(file, self.tag)


def _has_tag(file: str, tag: str) -> bool:
    """Whether a path names this quantisation as a whole word.

    Q4_K is not in Q4_K_M; nor is Q4_K_M in UD-Q4_K_M, which is another mix.
    """
    word = re.escape(tag)
    part = _PART.fullmatch(file)
    stem = part["stem"] if part else file[: -len(".gguf")]
    return re.search(rf"(?<![a-z0-9])(?<!ud-){word}(?!\w)", stem, re.IGNORECASE | re.ASCII) is not None


def parts_of(file: str) -> tuple[str, ...]:
    """All files of the model that `file` belongs to, in order: itself, or the parts of its split."""
    part = _PART.fullmatch(file)
    if part is None or not 1 <= int(part["count"]) <= 999:
        return (file,)
    stem, count, ending = part["stem"], int(part["count"]), file[-len(".gguf") :]
    return tuple(f"{stem}-{number:05d}-of-{count:05d}{ending}" for number in range(1, count + 1))


def is_safe_path(path: str) -> bool:
    """Whether a path from outside stays below the folder that it is joined to, on any system."""
    pieces = path.split("/")
    return (
        "\0" not in path
        and "\\" not in path
        and not any(piece in ("", ".", "..") or PureWindowsPath(piece).drive for piece in pieces)
        and not PurePosixPath(path).is_absolute()
    )
