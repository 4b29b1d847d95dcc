"""Applies unified diffs to a source tree, strictly: every hunk at its stated line, every context line equal.

In pure Python, because a machine that builds from source need not have `patch` or `git`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_FILE = "/dev/null"


class PatchError(Exception):
    """A patch is malformed or does not fit; the message is one line."""


@dataclass
class Hunk:
    """One hunk. start: its first old line, counted from 1; old, new: the lines before and after it."""

    start: int
    old: list[bytes] = field(default_factory=list)
    new: list[bytes] = field(default_factory=list)


@dataclass
class FilePatch:
    """The hunks of one file. path: relative to the tree; creates: the file must not exist before."""

    path: str
    creates: bool
    hunks: list[Hunk] = field(default_factory=list)


def apply_patch(patch: Path, tree: Path) -> list[str]:
    """Applies a patch file to the tree and returns the paths it changed.

    All files are checked before one is written. Raises PatchError.
    """
    try:
        written = {}
        for file_patch in parse(patch.read_bytes()):
            if file_patch.path in written:
                raise PatchError(f"names {file_patch.path} twice")
            written[file_patch.path] = patched(file_patch, tree)
    except PatchError as error:
        raise PatchError(f"{patch.name} {error}") from None
    for path, content in written.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return list(written)


def parse(diff: bytes) -> list[FilePatch]:
    """Reads a unified diff; lines before the first `---` are its description. Raises PatchError."""
    lines = _LINE.findall(diff)
    files: list[FilePatch] = []
    i = 0
    while i < len(lines):
        if lines[i].startswith(b"--- ") and i + 1 < len(lines) and lines[i + 1].startswith(b"+++ "):
            files.append(_header(lines[i], lines[i + 1]))
            i += 2
        elif lines[i].startswith(b"@@"):
            if not files:
                raise PatchError(f"has a hunk before its file names, line {i + 1}")
            hunk, i = _hunk(lines, i)
            files[-1].hunks.append(hunk)
        elif files and files[-1].hunks and lines[i][:1] in (b" ", b"+", b"-") and lines[i] != b"-- \n":
            raise PatchError(f"has more lines than its hunk header says, line {i + 1}")
        else:
            i += 1
    if not files or not all(file.hunks for file in files):
        raise PatchError("is not a unified diff with hunks")
    return files


def _header(old: bytes, new: bytes) -> FilePatch:
    old_path, new_path = (line[4:].split(b"\t")[0].strip().decode("utf-8") for line in (old, new))
    if new_path == _NO_FILE:
        raise PatchError(f"deletes {old_path}, which is not supported")
    path = _strip(new_path)
    if old_path != _NO_FILE and _strip(old_path) != path:
        raise PatchError(f"renames {old_path}, which is not supported")
    return FilePatch(path, creates=old_path == _NO_FILE)


def _strip(path: str) -> str:
    """Takes the leading a/ or b/ away."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or len(pure.parts) < 2:
        raise PatchError(f"has a path that is not a/... or b/...: {path!r}")
    return str(PurePosixPath(*pure.parts[1:]))


def _hunk(lines: Sequence[bytes], i: int) -> tuple[Hunk, int]:
    """Reads the hunk whose header is line i; returns it and the index of the line after it."""
    match = _HUNK.match(lines[i])
    if match is None:
        raise PatchError(f"has a malformed hunk header, line {i + 1}")
    n_old, n_new = (int(match.group(group) or 1) for group in (2, 4))
    hunk = Hunk(start=int(match.group(1)))
    i += 1
    while i < len(lines) and (len(hunk.old) < n_old or len(hunk.new) < n_new or lines[i].startswith(b"\\")):
        sign, text = lines[i][:1], lines[i][1:]
        if sign == b"\\":  # "\ No newline at end of file" belongs to the line above
            _drop_line_end(hunk, lines[i - 1][:1])
        elif sign == b" " or lines[i] == b"\n":  # editors strip the blank of an empty context line
            hunk.old.append(text or b"\n")
            hunk.new.append(text or b"\n")
        elif sign == b"-":
            hunk.old.append(text)
        elif sign == b"+":
            hunk.new.append(text)
        else:
            break
        i += 1
    if len(hunk.old) != n_old or len(hunk.new) != n_new:
        raise PatchError(f"has a hunk whose header and lines disagree, before line {i + 1}")
    return hunk, i


def _drop_line_end(hunk: Hunk, sign: bytes) -> None:
    for side, signs in ((hunk.old, b" -"), (hunk.new, b" +")):
        if sign in signs and side:
            side[-1] = side[-1].rstrip(b"\n")


def patched(file_patch: FilePatch, tree: Path) -> bytes:
    """The content of the file after its hunks. Raises PatchError when one does not fit."""
    target = tree / file_patch.path
    if target.exists() == file_patch.creates:
        state = "exists already" if file_patch.creates else "is missing"
        raise PatchError(f"does not fit: {file_patch.path} {state}")
    lines = [] if file_patch.creates else _LINE.findall(target.read_bytes())
    return b"".join(_merge(file_patch, lines))


def _merge(file_patch: FilePatch, lines: Sequence[bytes]) -> Iterator[bytes]:
    at = 0
    for hunk in file_patch.hunks:
        begin = hunk.start - 1 if hunk.old else hunk.start
        if begin < at:
            raise PatchError(f"has hunks out of order in {file_patch.path}, line {hunk.start}")
        if list(lines[begin : begin + len(hunk.old)]) != hunk.old:
            raise PatchError(f"does not fit: {file_patch.path} differs at line {hunk.start}")
        yield from lines[at:begin]
        yield from hunk.new
        at = begin + len(hunk.old)
    yield from lines[at:]
