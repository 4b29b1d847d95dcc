"""Relative links of the documentation lead to files of the repository, their anchors to headings there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "training/README.md")),
    *sorted((ROOT / "integrations").glob("*/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?^ {0,3}\1[^\n]*$", flags=re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)(`+)(?!`)(?:(?!\n\n).)*?(?<!`)\1(?!`)", flags=re.DOTALL)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$", flags=re.MULTILINE)
TARGET = re.compile(r"\]\(\s*<?([^)\s>]+)")
EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:", flags=re.IGNORECASE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that GitHub gives a page's headings; a heading that comes again gets a number."""
    if page.suffix != ".md":
        return frozenset()
    found: dict[str, int] = {}
    names = set()
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return frozenset(names)


def targets(page: Path) -> list[str]:
    """The targets of a page's relative links, those in code left out."""
    text = CODE.sub("", FENCED.sub("", page.read_text()))
    return [target for target in TARGET.findall(text) if not EXTERNAL.match(target)]


def broken(page: Path) -> list[str]:
    """The targets that lead nowhere."""
    found = []
    for target in targets(page):
        path, _, anchor = unquote(target).partition("#")
        file = page.parent / path if path else page
        if file.is_dir() and anchor:
            file /= "README.md"
        if not file.exists() or (anchor and anchor not in anchors(file.resolve())):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_links_are_found() -> None:
    assert sum(len(targets(page)) for page in PAGES) > 150


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "README.md").write_text("# Twice\n\n## Twice\n\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# The `x_y` of [it](folder): 1.5B?\n\n"
        "[a](#the-x_y-of-it-15b) [b](folder) [c](folder/README.md#twice-1) [d](folder#twice)\n"
        "[e](https://no.where/x#y) [mail](mailto:a@no.where)\n"
        "`[code](missing.md)` [![image](missing.png)](folder)\n"
        "```\n[code](missing.md)\n```\n"
        '[f](missing.md "title") [g](#missing)\n'
        "[h](folder/README.md#no-heading) [i](folder/README.md#twice-2)\n"
    )
    in_folder = ["folder/README.md#no-heading", "folder/README.md#twice-2"]
    assert broken(page) == ["missing.png", "missing.md", "#missing", *in_folder]
