"""bench/many_texts.py: how many answers forked, and their visible faults."""

from __future__ import annotations

from typing import Any

from many_texts import faults, shares

LISTED = "So:\n\n1. **A**: x\n\n2. **B**: y\n\n3. **C**: z\n"


def _row(question: str, asked: str, language: str, text: str, n_blocks: int = 0) -> dict[str, Any]:
    return {
        "id": question,
        "asked": asked,
        "language": language,
        "text": text,
        "blocks": [[]] * n_blocks,
        "fallback": None,
    }


def test_shares_are_those_of_questions_whose_serial_answer_has_a_list_with_titles() -> None:
    rows = [
        _row("a", "auto", "de", LISTED, 1),
        _row("a", "off", "de", LISTED),
        {**_row("b", "auto", "de", LISTED), "fallback": "the order of its items matters"},  # serial
        _row("e", "auto", "de", LISTED),
        _row("c", "auto", "fr", LISTED, 1),
        _row("c", "off", "fr", "No list."),
        _row("d", "auto", "fr", "No list."),
    ]
    titled = "of those whose serial answer has a list with titles"
    assert shares(rows) == [
        "forked: 2 of 5",
        f"{titled}, all: 1 of 3",
        f"{titled}, de: 1 of 3",
        "not forked, the order of its items matters: 1",
        "not forked, none given: 1",
    ]


def test_faults_are_those_of_forked_answers_and_of_the_serial_ones_beside_them() -> None:
    rows = [
        {**_row("a", "auto", "en", LISTED, 1), "finish_reason": "stop"},
        {**_row("a", "off", "en", LISTED), "finish_reason": "length"},
        {**_row("b", "auto", "en", LISTED), "finish_reason": "length"},  # not forked
    ]
    rows = [{**row, "question": "Which?", "kind": "list"} for row in rows]
    assert faults(rows) == ["visible faults of 1 forked answers, serial and forked", "  cut: 1, 0"]
