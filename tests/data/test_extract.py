"""Which parts are found in an answer, where they begin and end, and what is refused."""

from __future__ import annotations

import pytest

from aspd_local.data import Config, Run, extract

CONFIG = Config(min_words=3)
LONG = "some words that make this part long enough"


def runs(answer: str, config: Config = CONFIG) -> list[Run]:
    return extract(answer, config)[0]


def only(answer: str, config: Config = CONFIG) -> Run:
    (run,) = runs(answer, config)
    return run


def reasons(answer: str, config: Config = CONFIG, *, cut: bool = False) -> set[str]:
    found, rejected = extract(answer, config, cut=cut)
    assert found == []
    return {rejection.reason for rejection in rejected}


def test_numbered_list_between_texts() -> None:
    answer = f"Here:\n\n1. **A**: {LONG}\n2. **B**: {LONG}\n3. **C**: {LONG}\n\nThat is all.\n"
    run = only(answer)
    assert run.kind == "numbered"
    assert run.texts(answer) == [f"{i}. **{t}**: {LONG}\n" for i, t in enumerate("ABC", 1)]
    assert answer[: run.begin] == "Here:\n\n"
    assert answer[run.end :] == "\nThat is all.\n"


@pytest.mark.parametrize("mark", ["-", "*", "+", "•", "1)", "1."])
def test_every_mark_of_a_list(mark: str) -> None:
    marks = [mark.replace("1", str(i)) for i in (1, 2, 3)]
    answer = "\n".join(
        f"{each} {word} {LONG}" for each, word in zip(marks, ("Red", "Green", "Blue"), strict=True)
    )
    assert len(only(answer).spans) == 3


def test_nested_content_stays_inside_its_item() -> None:
    items = [
        f"{i}. **{t}**\n   - {LONG}\n   - {LONG}\n\n   ```\n   - code\n   ```\n"
        for i, t in enumerate("ABC", 1)
    ]
    assert only("".join(items)).texts("".join(items)) == items


def test_unindented_bullets_stay_with_the_number_above_them() -> None:
    items = [
        f"{i}. **{t}**\n- {LONG} one\n- {LONG} two\n\n" for i, t in enumerate(("North", "South", "West"), 1)
    ]
    answer = "".join(items) + "In all of them it rains."
    (run,) = [run for run in runs(answer) if run.kind == "numbered"]
    assert run.texts(answer) == items
    assert answer[run.end :] == "In all of them it rains."


def test_paragraphs_belong_to_the_number_above_where_all_numbers_have_one() -> None:
    items = [f"{i}. **{t}**\n\n{t} has {LONG}.\n\n" for i, t in enumerate(("North", "South", "West"), 1)]
    answer = "".join(items) + "In all of them it rains."
    run = only(answer)
    assert run.texts(answer) == items


def test_unindented_line_behind_the_last_item_is_not_part_of_it() -> None:
    answer = f"- Red {LONG}\n- Green {LONG}\n- Blue {LONG}\nThese are my colours."
    run = only(answer)
    assert answer[run.end :] == "These are my colours."


def test_headings_with_a_closing_paragraph() -> None:
    sections = [f"## {t}\n\n{t} text {LONG}.\n\n" for t in ("North", "South", "West")]
    answer = "# All\n\n" + "".join(sections) + "More on the west.\n\nOverall, go south."
    run = only(answer)
    assert (run.kind, run.titles) == ("headings", ("North", "South", "West"))
    assert answer[: run.begin] == "# All\n\n"
    assert answer[run.end :] == "Overall, go south."


def test_conclusion_is_no_sibling() -> None:
    sections = [f"## {t}\n\n{t} text {LONG}.\n\n" for t in ("North", "South", "West", "Conclusion")]
    run = only("".join(sections))
    assert run.titles == ("North", "South", "West")
    assert "".join(sections)[run.end :] == sections[3]


def test_lists_inside_sections_compete_with_the_sections() -> None:
    lists = [f"## {t}\n\n" + "".join(f"- {x} {t} {LONG}\n" for x in ("Aa", "Bb", "Cc")) + "\n" for t in "XYZ"]
    found = runs("".join(lists))
    assert [run.kind for run in found] == ["headings", "bulleted", "bulleted", "bulleted"]


@pytest.mark.parametrize(
    ("kind", "leads"),
    [
        ("bold", ("**Red.**", "**Green.**", "**Blue.**")),
        ("ordinal", ("First,", "Second,", "Finally,")),
        ("label", ("Option A:", "Option B:", "Option C:")),
        ("question", ("Q1: Red?", "Q2: Green?", "Q3: Blue?")),
        ("lead", ("Red things:", "Green things:", "Blue things:")),
    ],
)
def test_paragraphs_with_lead_ins(kind: str, leads: tuple[str, ...]) -> None:
    parts = [f"{lead} {i} {LONG}.\n\n" for i, lead in enumerate(leads)]
    answer = "I say:\n\n" + "".join(parts)
    run = only(answer)
    assert run.kind == kind
    assert run.texts(answer) == parts


def test_answers_stay_with_their_questions() -> None:
    parts = [
        f"**Q{i}: What is {t}?**\n\nA: It is {LONG}.\n\n" for i, t in enumerate(("red", "green", "blue"))
    ]
    answer = "".join(parts).rstrip()
    assert [text.strip() for text in only(answer).texts(answer)] == [part.strip() for part in parts]


def test_rows_of_a_table() -> None:
    rows = [f"| {t} | {LONG} |\n" for t in ("Red", "Green", "Blue")]
    answer = "Look:\n\n| name | text |\n|---|---|\n" + "".join(rows) + "\nDone."
    run = only(answer)
    assert (run.kind, run.titles) == ("table", ("Red", "Green", "Blue"))
    assert run.texts(answer) == rows


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("open_close", [("```", "```"), ("$$", "$$"), ("\\[", "\\]"), ("~~~", "~~~")])
def test_code_and_formulas_are_never_split(open_close: tuple[str, str]) -> None:
    opening, closing = open_close
    answer = f"{opening}\n1. a {LONG}\n2. b {LONG}\n3. c {LONG}\n{closing}\n"
    assert runs(answer) == []


def test_quotes_are_never_split() -> None:
    assert runs(f"> - a {LONG}\n> - b {LONG}\n> - c {LONG}\n") == []


def test_fence_that_opens_in_one_item_and_closes_in_another() -> None:
    answer = f"1. a {LONG}\n```\n2. b {LONG}\n```\n3. c {LONG}\n"
    assert runs(answer) == []


def test_reasons() -> None:
    assert reasons(f"1. a {LONG}\n2. b {LONG}\n") == {"too few parts"}
    assert reasons(f"- a {LONG}\n- b {LONG}\n- c\n") == {"a short part"}
    many = "".join(f"- part{i} {LONG}\n" for i in range(17))
    assert reasons(many) == {"too many parts"}
    assert reasons(f"- Title: {LONG}\n" * 3) == {"no different titles"}
    longest = f"- a {LONG}\n- b {LONG}\n- c {LONG}\n- d {LONG}\n- e {LONG}\n- f {LONG * 40}\n"
    assert reasons(longest) == {"one part is most of it"}


def test_last_part_that_is_cut_off() -> None:
    answer = f"1. a {LONG}.\n2. b {LONG}.\n3. c {LONG}"
    assert reasons(answer) == {"the last part is cut off"}
    assert reasons(answer + ".", cut=True) == {"the last part is cut off"}
    assert len(runs(answer + ".\n\nEnd")) == 1


def test_min_and_max_branches_are_obeyed() -> None:
    answer = f"- a {LONG}\n- b {LONG}\n"
    assert len(runs(answer, Config(min_branches=2, min_words=3))) == 1
    assert reasons(answer + f"- c {LONG}\n", Config(min_branches=2, max_branches=2, min_words=3)) == {
        "too many parts"
    }


def test_rule_under_a_paragraph_is_no_heading() -> None:
    answer = "".join(f"{t} {LONG}\n---\n{LONG}\n\n" for t in ("Red", "Green", "Blue"))
    assert runs(answer) == []
