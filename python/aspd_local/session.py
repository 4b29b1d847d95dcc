"""Session files: a conversation's tokens, structure and cells, so that it goes on without a new prefill.

    8 bytes    b"ASPDSESS"
    uint32     version, 1 (all numbers little-endian)
    uint32     length of the header in bytes
    header     JSON: build, model (sha256, size), protocol, layout, answers
    uint64     length of the state in bytes
    state      cells of the sequence, in llama.cpp's private format
    32 bytes   sha256 of all of the above

Cells are private to a build and a model: a file for another one is refused. Never a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aspd_local import _core
from aspd_local.errors import ModelError
from aspd_local.layout import Block, Layout, Segment, Trunk

_MAGIC = b"ASPDSESS"
_VERSION = 1
_CHECKSUM_BYTES = 32

Answers = Sequence[tuple[str, str, tuple[Segment, ...]]]


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a session file holds.

    Attributes:
        protocol: of the last answer; "serial" for none.
        layout: the conversation as the cache had it.
        answers: (protocol, text, segments) of remembered answers.
        state: the cells, private to the build.
    """

    protocol: str
    layout: Layout
    answers: Answers
    state: bytes


def save(path: str | os.PathLike[str], model_path: Path, model: _core.Model, saved: Session) -> None:
    """Writes a session file; an old one stays whole until the new one is complete. Raises OSError."""
    header = json.dumps(
        {
            "build": _build(),
            "model": _model_facts(model_path, model),
            "protocol": saved.protocol,
            "layout": {
                "token_ids": saved.layout.token_ids,
                "positions": saved.layout.positions,
                "block_ids": saved.layout.block_ids,
                "branch_ids": saved.layout.branch_ids,
            },
            "answers": [
                [name, text, [_segment_to_json(s) for s in segments]]
                for name, text, segments in saved.answers
            ],
        }
    ).encode()
    head = _MAGIC + struct.pack("<II", _VERSION, len(header)) + header + struct.pack("<Q", len(saved.state))
    digest = hashlib.sha256(head)
    digest.update(saved.state)
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(head)
            file.write(saved.state)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink()
        raise


def load(path: str | os.PathLike[str], model_path: Path, model: _core.Model) -> Session:
    """Reads a session file for this model.

    Raises:
        ModelError: the file is damaged, no session, or was written with another model or build.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    name = os.fspath(path)

    def fail(what: str) -> ModelError:
        return ModelError(f"{name}: {what}", name)

    if not data.startswith(_MAGIC):
        raise fail("this is not a session file")
    start = len(_MAGIC) + 8
    if len(data) < start + 8 + _CHECKSUM_BYTES:
        raise fail("the session file is cut")
    version, n_header = struct.unpack_from("<II", data, len(_MAGIC))
    if version != _VERSION:
        raise fail(f"session files of version {version} are not known here")
    if hashlib.sha256(data[:-_CHECKSUM_BYTES]).digest() != data[-_CHECKSUM_BYTES:]:
        raise fail("the session file is damaged: wrong checksum")
    try:
        header = json.loads(data[start : start + n_header])
        (n_state,) = struct.unpack_from("<Q", data, start + n_header)
        state = data[start + n_header + 8 : -_CHECKSUM_BYTES]
        if n_state != len(state):
            raise ValueError("wrong length of the state")
        arrays = header["layout"]
        layout = Layout(
            token_ids=tuple(arrays["token_ids"]),
            positions=tuple(arrays["positions"]),
            block_ids=tuple(arrays["block_ids"]),
            branch_ids=tuple(arrays["branch_ids"]),
        )
        answers = [(a[0], a[1], tuple(_segment_from_json(s) for s in a[2])) for a in header["answers"]]
        facts, build, protocol = header["model"], header["build"], str(header["protocol"])
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise fail(f"the session file is malformed: {error}") from error
    if facts != _model_facts(model_path, model):
        raise fail("the session was written with another model")
    if build != _build():
        raise fail("the session was written by another build of aspd-local")
    return Session(protocol=protocol, layout=layout, answers=answers, state=state)


def _build() -> str:
    from aspd_local import __version__

    return f"{__version__}; {_core.build_info()}"


def _model_facts(path: Path, model: _core.Model) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _digest(file)
        )
    return {"sha256": digest, "n_params": model.n_params, "description": model.description}


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()


def _segment_to_json(segment: Segment) -> Any:
    if isinstance(segment, Trunk):
        return {"trunk": list(segment.token_ids)}
    return {"block": [list(branch) for branch in segment.branches]}


def _segment_from_json(value: Any) -> Segment:
    return Trunk(value["trunk"]) if "trunk" in value else Block(value["block"])
