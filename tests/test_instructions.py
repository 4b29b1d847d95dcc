"""The cells of a protocol's instructions outlive the process that read them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aspd_local import Done, Model, instructions
from aspd_local.instructions import MOST_FILES, CellFile
from tiny.files import TinyModel

# To this vocabulary the instructions are long.
SETTINGS: dict[str, Any] = {
    "n_ctx": 32768,
    "flash_attn": "off",
    "cache_type": "f32",
    "profile": "off",
}
ANSWER: dict[str, Any] = {"temperature": 0, "max_tokens": 12, "parallel": "prompted"}
SERIAL: dict[str, Any] = {**ANSWER, "parallel": "off"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept instructions; the tiny model counts as large enough."""
    monkeypatch.setattr(instructions, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_args, **_options: str(tmp_path))
    return tmp_path / "instructions"


@pytest.fixture
def path(tiny_typable_markers: TinyModel, tmp_path: Path) -> Path:
    """A model file of its own."""
    copy = tmp_path / "model.gguf"
    copy.write_bytes(tiny_typable_markers.path.read_bytes())
    return copy


def ask(path: Path, question: str = "Hello", **settings: Any) -> tuple[tuple[int, ...], int, int]:
    """What is written under the instructions, how many tokens they have, how many were in the cache."""
    with Model(path, **{**SETTINGS, **settings}) as model:
        prepared = model.prepare(question, **ANSWER)
        assert prepared.instructions is not None
        # Under instructions there is no other prompt: what is cached of it is told.
        answer = model.chat(question, plan="always", **ANSWER)
        return written(model), len(prepared.instructions), answer.usage.cached_tokens


def written(model: Model) -> tuple[int, ...]:
    """The tokens of the last answer, its plan's among them."""
    last = model.parts.conversation.last
    assert last is not None
    assert len(last.layout) > last.n_prompt
    return last.layout.token_ids[last.n_prompt :]


def test_the_next_process_finds_them(path: Path, cache: Path) -> None:
    said, n_instructions, n_cached = ask(path)
    assert (n_instructions > 1000, n_cached) == (True, 0)
    (kept,) = cache.iterdir()
    before = kept.read_bytes()
    assert ask(path) == (said, n_instructions, n_instructions)
    assert kept.read_bytes() == before
    assert [file.name for file in cache.iterdir()] == [kept.name]


def test_an_answer_without_a_plan_keeps_them_too(path: Path, cache: Path) -> None:
    with Model(path, **SETTINGS) as model:
        text = model.chat("Hello", **ANSWER).text
    (kept,) = cache.iterdir()
    assert ask(path)[1:] == (len(_instructions(path)), len(_instructions(path)))
    with Model(path, **SETTINGS) as model:
        assert model.chat("Hello", **ANSWER).text == text == model.chat("Hello", **SERIAL).text
    assert list(cache.iterdir()) == [kept]


def _instructions(path: Path) -> Any:
    with Model(path, **SETTINGS) as model:
        return model.prepare("Hello", **ANSWER).instructions


def test_questions_that_list_their_parts_have_instructions_of_their_own(path: Path, cache: Path) -> None:
    n_listing = ask(path, "?\n1. a\n2. b")[1]
    assert ask(path)[1] != n_listing
    assert len(list(cache.iterdir())) == 2
    assert ask(path, "?\n1. c\n2. d")[2] == n_listing


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_file_is_read_anew(
    path: Path, cache: Path, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    said, n_instructions, _ = ask(path)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    data = bytearray(whole)
    data[place] ^= 1
    kept.write_bytes(data)
    assert ask(path) == (said, n_instructions, 0)
    assert "damaged" in caplog.text
    assert kept.read_bytes() == whole


def test_cells_that_llama_cpp_refuses_are_read_anew(
    path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said, n_instructions, _ = ask(path)
    (kept,) = cache.iterdir()
    CellFile(kept).save(b"no cells")
    assert ask(path) == (said, n_instructions, 0)
    assert "read anew" in caplog.text


def test_another_file_build_or_setting_has_cells_of_its_own(path: Path, cache: Path) -> None:
    ask(path)
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))  # another file under the same name
    ask(path)
    ask(path, flash_attn="on")
    assert len(list(cache.iterdir())) == 3


def test_nothing_is_kept_where_that_is_not_wanted(path: Path, cache: Path) -> None:
    with Model(path, instructions="read", **SETTINGS) as model:
        assert model.prepare("Hello", **ANSWER).instructions is None
        model.chat("Hello", **ANSWER)
    assert not cache.exists()
    with pytest.raises(ValueError, match="instructions must be one of"):
        Model(path, **{**SETTINGS, "instructions": "maybe"})


def test_a_system_text_of_the_users_is_no_part_of_them(path: Path, cache: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    with Model(path, **SETTINGS) as model:
        assert model.prepare(chat, **ANSWER).instructions is None  # type: ignore[arg-type]
        assert model.prepare("Hello", **SERIAL).instructions is None
        assert model.prepare("Hello", **ANSWER).instructions is not None
    assert not cache.exists()


def test_they_come_back_after_a_reset_and_to_async_callers(path: Path, cache: Path) -> None:
    said, n_instructions, _ = ask(path)
    assert len(list(cache.iterdir())) == 1
    with Model(path, **SETTINGS) as model:
        for _ in range(2):
            answer = asyncio.run(model.achat("Hello", plan="always", **ANSWER))
            assert (written(model), answer.usage.cached_tokens) == (said, n_instructions)
            model.reset()
        model.submit(model.prepare("Hello", plan="always", **ANSWER))
        (done,) = [event for _, event in _steps(model) if isinstance(event, Done)]
        assert (written(model), done.result.usage.cached_tokens) == (said, n_instructions)


def test_they_come_back_where_other_answers_have_pushed_them_out(path: Path, cache: Path) -> None:
    said, n_instructions, _ = ask(path)
    (kept,) = cache.iterdir()
    with Model(path, n_retained=1, **SETTINGS) as model:
        for other in ("Hello", "And then?"):
            model.chat(other, **SERIAL)
            answer = model.chat("Hello", plan="always", **ANSWER)
            assert (written(model), answer.usage.cached_tokens) == (said, n_instructions)
    assert list(cache.iterdir()) == [kept]


def test_they_are_read_anew_and_kept_where_answers_under_way_need_the_room(path: Path, cache: Path) -> None:
    _, n_instructions, _ = ask(path)
    (kept,) = cache.iterdir()
    settings = {**SETTINGS, "n_ctx": n_instructions + 256}
    with Model(path, **{**settings, "n_requests": 2}) as model:
        first = model.submit(model.prepare("Hello " * 40, **{**SERIAL, "max_tokens": 200}))
        model.step()
        second = model.submit(model.prepare("Hello", **ANSWER))
        ended = {request for request, event in _steps(model) if isinstance(event, Done)}
        assert ended == {first, second}
    assert kept.exists()


def _steps(model: Model) -> Iterator[tuple[int, Any]]:
    while model.has_work:
        yield from model.step()


def test_a_folder_that_cannot_be_written_is_a_warning(
    path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("in the way")
    assert ask(path)[0]
    assert "cannot be kept" in caplog.text


def test_files_that_were_not_used_for_longest_go(tmp_path: Path) -> None:
    names = [f"{i}.cells" for i in range(MOST_FILES + 2)]
    for i, name in enumerate(names):
        CellFile(tmp_path / name).save(b"x")
        os.utime(tmp_path / name, (i, i))
    assert CellFile(tmp_path / names[2]).load() == b"x"  # used
    CellFile(tmp_path / "last.cells").save(b"y")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([names[2], *names[4:], "last.cells"])
