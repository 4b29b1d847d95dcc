"""A file that grows line by line and survives being killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aspd_local import DataError
from aspd_local.data.checkpoint import Checkpoint, Target, check_apart, whole_lines
from aspd_local.sources.digest import sha256_of

FACTS = {"input": "abc", "seed": 1}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def begin(out: Path, *lines: bytes) -> None:
    """As a process that is killed leaves it."""
    with Checkpoint(Target(path=out), FACTS) as file:
        for line in lines:
            file.write(line)


def test_finished_file_is_all_that_is_left(out: Path) -> None:
    with Checkpoint(Target(path=out), FACTS) as file:
        file.write(b"a\n")
        file.write(b"b\n")
        assert not out.exists()
        file.finish()
    assert out.read_bytes() == b"a\nb\n"
    assert list(out.parent.iterdir()) == [out]


def test_half_a_line_is_taken_back(out: Path) -> None:
    begin(out, b"a\n", b"b\n", b"half")
    with Checkpoint(Target(path=out), FACTS) as file:
        assert file.n_lines == 2
        file.write(b"c\n")
        file.finish()
    assert out.read_bytes() == b"a\nb\nc\n"


def test_other_facts_are_refused_and_the_part_is_kept(out: Path) -> None:
    begin(out, b"a\n")
    with pytest.raises(ValueError, match="other settings"):
        Checkpoint(Target(path=out), {**FACTS, "seed": 2})
    with Checkpoint(Target(path=out), FACTS) as file:
        assert file.n_lines == 1


def test_force_begins_anew(out: Path) -> None:
    begin(out, b"a\n")
    with Checkpoint(Target(path=out, force=True), {**FACTS, "seed": 2}) as file:
        assert file.n_lines == 0
        file.write(b"z\n")
        file.finish()
    assert out.read_bytes() == b"z\n"


def test_force_goes_on_where_the_facts_are_the_same(out: Path) -> None:
    begin(out, b"a\n")
    with Checkpoint(Target(path=out, force=True), FACTS) as file:
        assert file.n_lines == 1


def test_existing_file_is_kept_unless_forced(out: Path) -> None:
    out.write_bytes(b"before")
    with pytest.raises(ValueError, match="exists already"):
        Checkpoint(Target(path=out), FACTS)
    with Checkpoint(Target(path=out, force=True), FACTS) as file:
        assert out.read_bytes() == b"before"
        file.finish()
    assert out.read_bytes() == b""


def test_two_at_once_is_an_error(out: Path) -> None:
    with Checkpoint(Target(path=out), FACTS), pytest.raises(DataError, match="another process"):
        Checkpoint(Target(path=out), FACTS)


def test_cut_keeps_the_first_lines(out: Path) -> None:
    with Checkpoint(Target(path=out), FACTS) as file:
        for line in (b"a\n", b"bb\n", b"c\n"):
            file.write(line)
        file.cut(2)
        file.write(b"d\n")
        file.finish()
    assert out.read_bytes() == b"a\nbb\nd\n"


def test_input_is_never_the_output(out: Path) -> None:
    out.touch()
    with pytest.raises(ValueError, match="is the input"):
        check_apart(out, Target(path=out, force=True))
    check_apart(out, Target(path=out.with_name("other")))


def test_whole_lines_and_digest(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content, expected in ((b"", (0, 0)), (b"ab", (0, 0)), (b"a\nb", (1, 2)), (b"\n\n", (2, 2))):
        path.write_bytes(content)
        assert whole_lines(path) == expected
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
