"""Names of files on a hub."""

from __future__ import annotations

import pytest

from aspd_local.sources.reference import HubReference, is_safe_path, parts_of

FILES = [
    "Tiny-BF16.gguf",
    "Tiny-F16.gguf",
    "Tiny-Q4_K_M.gguf",
    "Tiny-UD-Q4_K_M.gguf",
    "Tiny-IQ4_XS.gguf",
    "mmproj-F16.gguf",
    "tiny.q8_0.gguf",
    "Q5_K_M/Tiny-Q5_K_M-00001-of-00002.gguf",
    "Q5_K_M/Tiny-Q5_K_M-00002-of-00002.gguf",
    "README.md",
    "Tiny-Q4_K_M.gguf.sha256",
]


def test_all_parts_of_a_name_are_read() -> None:
    assert HubReference.parse("hf:acme/tiny-GGUF:q4_k_m@v1.0") == HubReference(
        repo="acme/tiny-GGUF", tag="q4_k_m", revision="v1.0"
    )
    assert HubReference.parse("hf:acme/tiny/sub/Tiny.gguf@refs/pr/1") == HubReference(
        repo="acme/tiny", pattern="sub/Tiny.gguf", revision="refs/pr/1"
    )
    assert HubReference.parse("hf:acme/tiny") == HubReference(repo="acme/tiny")


@pytest.mark.parametrize(
    "name", ["hf:a/b:Q4", "hf:a/b/c.gguf", "hf:a/b", "hf:a/b:Q4@v1", "hf:a/b/d/c.gguf@x/y"]
)
def test_a_reference_prints_as_the_name_it_was_read_from(name: str) -> None:
    assert str(HubReference.parse(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:acme",
        "hf:acme/",
        "hf:/tiny",
        "hf:acme/tiny:",
        "hf:acme/tiny/",
        "hf:acme/tiny@",
        "hf:acme/tiny/file.bin",
        "hf:acme/tiny:Q4/K",
        "hf:acme/tiny/a.gguf:Q4",
        "hf:acme/../x.gguf",
        "hf:../tiny:Q4",
        "hf:acme/tiny/../../x.gguf",
        "hf:acme/tiny//x.gguf",
        "hf:acme/tiny/C:\\x.gguf",
        "hf:acme/tiny:Q4@../../x",
        "hf:acme/tiny:Q4@/etc",
        "hf:acme--x/tiny:Q4",
        "hf:acme/tiny:Q4 K",
        "hf:acme/tiny\n:Q4",
        "acme/tiny:Q4",
    ],
)
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="malformed name"):
        HubReference.parse(name)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (":Q4_K_M", [("Tiny-Q4_K_M.gguf",)]),
        (":q4_k_m", [("Tiny-Q4_K_M.gguf",)]),
        (":UD-Q4_K_M", [("Tiny-UD-Q4_K_M.gguf",)]),
        (":Q4_K", []),
        (":Q4_XS", []),
        (":F16", [("Tiny-F16.gguf",)]),
        (":Q8_0", [("tiny.q8_0.gguf",)]),
        (":Q5_K_M", [tuple(f"Q5_K_M/Tiny-Q5_K_M-0000{n}-of-00002.gguf" for n in (1, 2))]),
        (
            "/Q5_K_M/Tiny-Q5_K_M-00002-of-00002.gguf",
            [tuple(f"Q5_K_M/Tiny-Q5_K_M-0000{n}-of-00002.gguf" for n in (1, 2))],
        ),
        ("/*q8_0.gguf", [("tiny.q8_0.gguf",)]),
        ("/mmproj-F16.gguf", [("mmproj-F16.gguf",)]),
        ("/*f16.gguf", [("Tiny-BF16.gguf",), ("Tiny-F16.gguf",), ("mmproj-F16.gguf",)]),
        ("/absent.gguf", []),
    ],
)
def test_a_name_means_whole_words_of_gguf_files(what: str, expected: list[tuple[str, ...]]) -> None:
    assert HubReference.parse(f"hf:acme/tiny{what}").matches(FILES) == expected


def test_a_split_model_with_a_missing_part_is_listed_with_all_its_parts() -> None:
    found = HubReference.parse("hf:acme/tiny:Q5_K_M").matches(["Tiny-Q5_K_M-00003-of-00003.gguf"])
    assert found == [tuple(f"Tiny-Q5_K_M-0000{n}-of-00003.gguf" for n in (1, 2, 3))]


def test_a_file_that_is_not_split_is_its_only_part() -> None:
    assert parts_of("a/b.gguf") == ("a/b.gguf",)
    assert parts_of("b-00001-of-99999.gguf") == ("b-00001-of-99999.gguf",)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/x", "../x", "a/../x", "a//b", "./a", "C:x", "a/C:x", "\\\\host\\x", "a\\..\\x", "a\0b", "a/"],
)
def test_paths_that_could_leave_their_folder_are_unsafe(path: str) -> None:
    assert not is_safe_path(path)


def test_ordinary_paths_are_safe() -> None:
    assert is_safe_path("Q5_K_M/Tiny..Q5-00001-of-00002.gguf")
