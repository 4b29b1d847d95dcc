"""The strict patch applier of the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from patching import PatchError, apply_patch

BEFORE = b"one\ntwo\nthree\nfour\nfive\n"
CHANGE_THREE = b"""--- a/src/numbers.txt
+++ b/src/numbers.txt
@@ -2,3 +2,4 @@
 two
-three
+3
+3.5
 four
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "src").mkdir(parents=True)
    (tmp_path / "tree" / "src" / "numbers.txt").write_bytes(BEFORE)
    return tmp_path / "tree"


def write_patch(tree: Path, content: bytes) -> Path:
    patch = tree.parent / "change.patch"
    patch.write_bytes(content)
    return patch


def assert_refused(tree: Path, content: bytes, message: str) -> None:
    with pytest.raises(PatchError, match=message):
        apply_patch(write_patch(tree, content), tree)
    assert (tree / "src" / "numbers.txt").read_bytes() == BEFORE


def test_a_hunk_replaces_its_lines(tree: Path) -> None:
    assert apply_patch(write_patch(tree, CHANGE_THREE), tree) == ["src/numbers.txt"]
    assert (tree / "src" / "numbers.txt").read_bytes() == b"one\ntwo\n3\n3.5\nfour\nfive\n"


def test_a_description_before_the_diff_is_skipped(tree: Path) -> None:
    text = b"Why this is so.\n\n- a list\n+ in it\n\n"
    git = b"diff --git a/src/numbers.txt b/src/numbers.txt\nindex 1..2 100644\n"
    apply_patch(write_patch(tree, text + git + CHANGE_THREE), tree)
    assert b"3.5" in (tree / "src" / "numbers.txt").read_bytes()


def test_two_hunks_and_a_header_without_counts(tree: Path) -> None:
    names = b"--- a/src/numbers.txt\n+++ b/src/numbers.txt\n"
    diff = names + b"@@ -1 +1 @@\n-one\n+1\n@@ -5 +5,2 @@ five\n five\n+six\n"
    apply_patch(write_patch(tree, diff), tree)
    assert (tree / "src" / "numbers.txt").read_bytes() == b"1\ntwo\nthree\nfour\nfive\nsix\n"


def test_a_pure_insertion_goes_after_its_line(tree: Path) -> None:
    diff = b"--- a/src/numbers.txt\n+++ b/src/numbers.txt\n@@ -2,0 +3 @@\n+2.5\n"
    apply_patch(write_patch(tree, diff), tree)
    assert (tree / "src" / "numbers.txt").read_bytes() == b"one\ntwo\n2.5\nthree\nfour\nfive\n"


def test_a_new_file_is_created(tree: Path) -> None:
    apply_patch(write_patch(tree, b"--- /dev/null\n+++ b/include/new.h\n@@ -0,0 +1,2 @@\n+a\n+b\n"), tree)
    assert (tree / "include" / "new.h").read_bytes() == b"a\nb\n"


def test_a_file_without_a_last_line_end_keeps_that(tree: Path) -> None:
    (tree / "src" / "numbers.txt").write_bytes(b"one\ntwo")
    diff = (
        b"--- a/src/numbers.txt\n+++ b/src/numbers.txt\n@@ -1,2 +1,2 @@\n one\n"
        b"-two\n\\ No newline at end of file\n+2\n\\ No newline at end of file\n"
    )
    apply_patch(write_patch(tree, diff), tree)
    assert (tree / "src" / "numbers.txt").read_bytes() == b"one\n2"


def test_lines_with_carriage_returns_are_compared_and_kept(tree: Path) -> None:
    (tree / "src" / "numbers.txt").write_bytes(BEFORE.replace(b"\n", b"\r\n"))
    with pytest.raises(PatchError, match="differs at line 2"):
        apply_patch(write_patch(tree, CHANGE_THREE), tree)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b" two", b" zwei", "differs at line 2"),
        (b"-three", b"-drei", "differs at line 2"),
        (b"@@ -2,3 +2,4 @@", b"@@ -3,3 +3,4 @@", "differs at line 3"),
        (b"@@ -2,3 +2,4 @@", b"@@ -90,3 +90,4 @@", "differs at line 90"),
        (b"@@ -2,3 +2,4 @@", b"@@ -2,2 +2,3 @@", "more lines than its hunk header says"),
        (b"@@ -2,3 +2,4 @@", b"@@ -2,4 +2,5 @@", "header and lines disagree"),
        (b"@@ -2,3 +2,4 @@", b"@@ two @@", "malformed hunk header"),
        (b"src/numbers.txt", b"src/letters.txt", "src/letters.txt is missing"),
        (b"b/src/numbers.txt", b"b/src/letters.txt", "renames"),
        (b"b/src/numbers.txt", b"/dev/null", "deletes"),
        (b"/src/", b"/../src/", "not a/... or b/..."),
        (b"--- a/src/numbers.txt", b"--- /dev/null", "exists already"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(tree: Path, old: bytes, new: bytes, message: str) -> None:
    assert_refused(tree, CHANGE_THREE.replace(old, new), message)


def test_a_patch_whose_second_file_does_not_fit_changes_nothing(tree: Path) -> None:
    second = b"--- a/src/other.txt\n+++ b/src/other.txt\n@@ -1 +1 @@\n-a\n+b\n"
    assert_refused(tree, CHANGE_THREE + second, "src/other.txt is missing")


@pytest.mark.parametrize(
    "content", [b"", b"only words\n", b"--- a/x/y\n+++ b/x/y\n", b"@@ -1 +1 @@\n-a\n+b\n"]
)
def test_text_that_is_no_diff_is_refused(tree: Path, content: bytes) -> None:
    assert_refused(tree, content, r"^change\.patch ")


def test_hunks_out_of_order_are_refused(tree: Path) -> None:
    diff = b"--- a/src/numbers.txt\n+++ b/src/numbers.txt\n@@ -4 +4 @@\n-four\n+4\n@@ -1 +1 @@\n-one\n+1\n"
    assert_refused(tree, diff, "out of order")
