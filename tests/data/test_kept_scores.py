"""Scores on disk are those of the scorer, and are not computed twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_scorer import FakeScorer
from test_build import row
from test_scoring import EXAMPLE, RUN

from aspd_local import DataError
from aspd_local.data import Config, Thresholds
from aspd_local.data.build import Models, build
from aspd_local.data.checkpoint import Target
from aspd_local.data.foreign import BUILT_IN
from aspd_local.data.kept_scores import KeptScores
from aspd_local.data.scoring import ModelScorer


def test_what_comes_back_is_what_was_found(tiny_scorer: ModelScorer, tmp_path: Path) -> None:
    limits = {"max_tokens": 400, "tail_tokens": 8}
    expected = tiny_scorer.score(EXAMPLE, RUN, BUILT_IN, **limits)
    with KeptScores(tiny_scorer, "tiny", tmp_path / "scores") as kept:
        assert kept.score(EXAMPLE, RUN, BUILT_IN, **limits) == expected
    with KeptScores(FakeScorer(), "tiny", tmp_path / "scores") as kept:
        assert kept.score(EXAMPLE, RUN, BUILT_IN, **limits) == expected
        assert kept.score(EXAMPLE, RUN, BUILT_IN[:2], **limits) != expected
    with KeptScores(FakeScorer(), "another model", tmp_path / "scores") as kept:
        assert kept.score(EXAMPLE, RUN, BUILT_IN, **limits) != expected


def test_other_thresholds_need_no_new_scores(write: Callable[..., Path], tmp_path: Path) -> None:
    answers = write(row(1), row(2, "DEPENDS"), row(3))
    blocks = []
    asked = []
    for gain in (2.0, 99.0):
        scorer = FakeScorer()
        config = Config(scorer="fake", thresholds=Thresholds(scorer="fake", gain=gain, join=9.0))
        with KeptScores(scorer, "fake", tmp_path / "scores") as kept:
            summary = build(answers, Target(path=tmp_path / str(gain)), config, models=Models(scorer=kept))
        blocks.append(summary.n_parallel)
        asked.append(len(scorer.asked))
    assert (blocks, asked) == ([2, 3], [3, 0])


def test_too_long_is_remembered_as_well(tmp_path: Path) -> None:
    with KeptScores(FakeScorer(), "fake", tmp_path / "scores") as kept:
        limits = {"max_tokens": 1, "tail_tokens": 1}
        assert kept.score(EXAMPLE, RUN, BUILT_IN, **limits) is None
        assert kept.score(EXAMPLE, RUN, BUILT_IN, **limits) is None


def test_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no database " * 100)
    with pytest.raises(DataError, match="no file of scores"):
        KeptScores(FakeScorer(), "fake", path)
