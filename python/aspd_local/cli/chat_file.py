"""The file of `/save` and `/load`: a zip with the messages and, beside them, the model's session file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aspd_local.errors import ModelError

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.cli.answerer import Answerer

_MESSAGES = "messages.json"
_SESSION = "session"
_FORMAT = "aspd-chat-1"


def write_chat(path: str, system: str | None, messages: Sequence[Message], engine: Answerer) -> None:
    """Writes the chat; an old file stays whole until the new one is complete.

    Raises:
        ValueError: nothing was answered yet, or the cache no longer holds it.
        OSError: the file cannot be written.
    """
    target = Path(path).expanduser()
    content = json.dumps(
        {"format": _FORMAT, "system": system, "messages": list(messages)}, ensure_ascii=False
    )
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        session, new = Path(folder) / _SESSION, Path(folder) / "new"
        engine.save_session(session)
        with zipfile.ZipFile(new, "w") as archive:
            archive.writestr(_MESSAGES, content)
            archive.write(session, _SESSION)
        new.replace(target)


def read_chat(path: str, engine: Answerer) -> tuple[str | None, list[Message]]:
    """Puts the cache of a chat back; returns its system message and its other messages.

    Raises:
        ModelError: no chat, damaged, or written with another model or build.
        ContextFullError: the context is too small for it.
        OSError: the file cannot be read.
    """
    source = Path(path).expanduser()
    try:
        with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory(prefix="aspd-") as folder:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")  # stored members cannot be larger than the file
            system, messages = _parse(archive.read(_MESSAGES))
            session = Path(folder) / _SESSION
            with archive.open(_SESSION) as stored, session.open("wb") as file:
                shutil.copyfileobj(stored, file)
            engine.load_session(session)
    except (KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source}: no chat that can be read: {error}", os.fspath(source)) from error
    return system, messages


def _parse(data: bytes) -> tuple[str | None, list[Message]]:
    raw = json.loads(data)
    if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
        raise ValueError("unknown format")
    system, messages = raw["system"], raw["messages"]
    if not (system is None or isinstance(system, str)) or not isinstance(messages, list):
        raise ValueError("malformed messages")
    parsed: list[Message] = []
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise ValueError("malformed messages")
        if message["role"] != ("assistant" if len(parsed) % 2 else "user") or not isinstance(
            message["content"], str
        ):
            raise ValueError("malformed messages")
        parsed.append({"role": message["role"], "content": message["content"]})
    if len(parsed) % 2:
        raise ValueError("malformed messages")
    return system, parsed
