"""The file of /save and /load, whole and damaged."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fake_model import FakeModel

from aspd_local.chat import Message
from aspd_local.cli.chat_file import read_chat, write_chat
from aspd_local.errors import ModelError

MESSAGES: list[Message] = [{"role": "user", "content": "é?"}, {"role": "assistant", "content": "日本"}]


class Forgetful(FakeModel):
    """A model whose cache no longer holds the conversation."""

    def save_session(self, path: str | os.PathLike[str]) -> None:
        raise ValueError(f"the cache no longer holds the last answer: {path}")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), "Be brief.", MESSAGES, FakeModel())
    assert read_chat(str(file), model := FakeModel()) == ("Be brief.", MESSAGES)
    assert model.loaded == b"cells"


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    write_chat(str(tmp_path / "talk"), None, MESSAGES, FakeModel())
    assert [path.name for path in tmp_path.iterdir()] == ["talk"]


def test_an_old_file_survives_a_save_that_fails(tmp_path: Path) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), None, MESSAGES, FakeModel())
    before = file.read_bytes()

    model = Forgetful()
    with pytest.raises(ValueError, match="no longer holds"):
        write_chat(str(file), None, [], model)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["talk"]


@pytest.mark.parametrize("n_bytes", [0, 1, 30, 100, 200, 300])
def test_a_cut_file_is_refused(tmp_path: Path, n_bytes: int) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), None, MESSAGES, FakeModel())
    file.write_bytes(file.read_bytes()[:n_bytes])
    refused(file)


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), None, MESSAGES, FakeModel())
    file.write_bytes(file.read_bytes().replace(b"cells", b"CELLS"))
    refused(file)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"format": "other", "system": None, "messages": []},
        {"format": "aspd-chat-1", "messages": []},
        {"format": "aspd-chat-1", "system": 1, "messages": []},
        {"format": "aspd-chat-1", "system": None, "messages": "no"},
        {"format": "aspd-chat-1", "system": None, "messages": ["no"]},
        {"format": "aspd-chat-1", "system": None, "messages": [{"role": "user", "content": "alone"}]},
        {"format": "aspd-chat-1", "system": None, "messages": [{"role": "system", "content": "x"}] * 2},
        {"format": "aspd-chat-1", "system": None, "messages": [{"role": "user"}]},
    ],
)
def test_other_messages_are_refused(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "talk"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("messages.json", json.dumps(content))
        archive.writestr("session", b"cells")
    refused(file)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), None, MESSAGES, FakeModel())
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    refused(file)


def test_a_file_of_another_model_is_refused_by_the_model(tmp_path: Path) -> None:
    file = tmp_path / "talk"
    write_chat(str(file), None, MESSAGES, FakeModel(session=b"other"))
    with pytest.raises(ModelError, match="another model"):
        read_chat(str(file), FakeModel())


def refused(file: Path) -> None:
    model = FakeModel()
    with pytest.raises(ModelError, match="no chat that can be read") as error:
        read_chat(str(file), model)
    assert error.value.path == str(file)
    assert model.loaded is None
