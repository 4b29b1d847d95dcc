"""The planted cases: what is committed is what the generator writes, and the stages can work on it."""

from __future__ import annotations

from collections import Counter

import planted as generator
from fake_scorer import PLANTED

from aspd_local.data import Config, Example, extract, read_line
from aspd_local.data.lexical import find_references


def test_committed_cases_are_those_of_the_generator(planted: list[dict[str, str]]) -> None:
    assert planted == list(generator.cases())


def test_at_least_two_hundred_of_each_and_none_twice(planted: list[dict[str, str]]) -> None:
    labels = Counter(case["label"] for case in planted)
    assert min(labels["dependent"], labels["independent"]) >= 200
    assert len({case["answer"] for case in planted}) == len(planted)
    assert len({case["family"] for case in planted}) >= 25


def test_one_run_is_found_in_each() -> None:
    for line in PLANTED.read_text(encoding="utf-8").splitlines():
        example = read_line(line)
        assert isinstance(example, Example)
        assert len(extract(example.answer, Config())[0]) == 1


def test_lexical_stage_finds_most_dependent_cases_and_spares_independent_ones(
    planted: list[dict[str, str]],
) -> None:
    flagged: Counter[str] = Counter()
    for case in planted:
        (run,) = extract(case["answer"], Config())[0]
        before = f"{case['prompt']}\n\n{case['answer'][: run.begin]}"
        texts = run.texts(case["answer"])
        flagged[case["label"]] += bool(find_references(before, texts, run.titles, run.kind))
    n_each = len(planted) / 2
    assert flagged["dependent"] / n_each > 0.7
    assert flagged["independent"] / n_each < 0.05
