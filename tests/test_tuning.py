"""Opening a model in the way that is fastest here; times are made up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from aspd_local import Model, _core, profile, tuning
from aspd_local.errors import ContextFullError, ModelError
from aspd_local.profile import Extent, Key, Point, Profile, Progress
from aspd_local.tuning import GLIMPSE, Tuning
from tiny.files import TinyModel

Seconds = Callable[[int], float]


def flat(_: int) -> float:
    return 1.0


def linear(width: int) -> float:
    return 1.0 * width


REPACKED_PAYS: dict[bool, Seconds] = {True: flat, False: linear}
REPACKED_HURTS: dict[bool, Seconds] = {True: linear, False: flat}


class Measurements:
    """Stands for profile.measure(); remembers what was measured."""

    def __init__(self, seconds: dict[bool, Seconds]) -> None:
        self.seconds = seconds
        self.made: list[tuple[bool, Extent]] = []
        self.steady = True

    def __call__(
        self,
        key: Key,
        engine: _core.Engine,
        extent: Extent,
        progress: Progress | None = None,
        *,
        repacked: bool,
    ) -> Profile:
        assert engine.n_cells > 0
        self.made.append((repacked, extent))
        points = tuple(
            Point(width=width, depth=64, seconds=self.seconds[repacked](width)) for width in extent.widths
        )
        if progress is not None:
            progress(len(points), len(points))
        return Profile(key=key, points=points, prompt_token_s=0.001, repacked=repacked, steady=self.steady)


Install = Callable[[dict[bool, Seconds]], Measurements]


@pytest.fixture
def measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[bool, Seconds]], Measurements]:
    """Replaces the measuring, and empties the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "LEAST_PARAMETERS", 0)
    monkeypatch.setattr(tuning, "may_repack", lambda _: True)

    def install(seconds: dict[bool, Seconds]) -> Measurements:
        made = Measurements(seconds)
        monkeypatch.setattr(profile, "measure", made)
        return made

    return install


def _tuning(tiny: TinyModel, repack: tuning.Repack = "auto") -> Tuning:
    options = _core.EngineOptions()
    options.n_threads = options.n_threads_batch = 1
    options.n_ctx = 512
    return Tuning(path=tiny.path, model_options=_core.ModelOptions(), engine_options=options, repack=repack)


def test_both_ways_are_tried_once_and_the_better_one_is_kept(
    tiny_llama: TinyModel, measured: Install
) -> None:
    made = measured(REPACKED_PAYS)
    opened = _tuning(tiny_llama).open(measure=True)
    assert made.made == [(True, profile.SHORT), (False, GLIMPSE)]
    assert opened.repacked
    assert opened.other_way is not None
    assert opened.other_way > 1
    again = _tuning(tiny_llama).open(measure=True)
    assert len(made.made) == 2
    assert again.repacked
    assert again.profile == opened.profile


def test_weights_are_left_as_they_are_where_that_is_faster(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_HURTS)
    tuned = _tuning(tiny_llama)
    opened = tuned.open(measure=True)
    assert made.made == [(True, profile.SHORT), (False, GLIMPSE), (False, profile.SHORT)]
    assert not opened.repacked
    assert not tuned.model_options.use_extra_bufts
    assert opened.profile is not None
    assert not opened.profile.repacked
    assert not _tuning(tiny_llama).open(measure=True).repacked
    assert len(made.made) == 3


@pytest.mark.parametrize("repack", ["on", "off"])
def test_a_way_that_was_asked_for_is_the_only_one(
    tiny_llama: TinyModel, measured: Install, repack: tuning.Repack
) -> None:
    made = measured(REPACKED_HURTS)
    opened = _tuning(tiny_llama, repack).open(measure=True)
    assert made.made == [(repack == "on", profile.SHORT)]
    assert opened.repacked is (repack == "on")


def test_nothing_is_measured_unasked(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_PAYS)
    assert _tuning(tiny_llama).open(measure=False).profile is None
    assert made.made == []


def test_a_model_that_cannot_join_is_opened_unmeasured(tiny_mamba: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_PAYS)
    assert _tuning(tiny_mamba).open(measure=True).profile is None
    assert made.made == []
    with pytest.raises(ModelError, match="cannot be forked"):
        _tuning(tiny_mamba).measure(profile.SHORT)


def test_a_context_too_small_to_measure_in_is_no_error(
    tiny_llama: TinyModel, measured: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(REPACKED_PAYS)

    def too_small(*_: object, **__: object) -> Profile:
        raise ContextFullError(10, 5)

    monkeypatch.setattr(profile, "measure", too_small)
    opened = _tuning(tiny_llama).open(measure=True)
    assert opened.profile is None
    assert opened.engine.n_cells > 0


def test_a_profile_that_cannot_be_kept_is_used_all_the_same(
    tiny_llama: TinyModel, measured: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(REPACKED_PAYS)

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(profile, "save", full)
    assert _tuning(tiny_llama).open(measure=True).profile is not None


def test_types_that_nobody_lays_out_anew_are_measured_one_way(tiny_llama: TinyModel) -> None:
    assert not tuning.may_repack(tiny_llama.path)  # F32


def test_model_measures_on_first_use_and_says_so(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_PAYS)
    told: list[tuple[int, int | None, str]] = []
    for _ in range(2):
        with Model(
            tiny_llama.path,
            progress=lambda *what: told.append(what),
            n_threads=1,
            n_threads_batch=1,
        ) as model:
            model.generate("Q2", parallel="aspd", max_tokens=2, temperature=0)
    assert len(made.made) == 2
    assert told == [(7, 7, "measuring")]


def write_serially(path: Path, n_tokens: int) -> None:
    """Opens a model and asks it twice for so many tokens."""
    with Model(path, n_threads=1, n_threads_batch=1) as model:
        no_end = {model.core.eos: float("-inf")}
        for _ in range(2):
            answer = model.generate(
                "Q2", parallel="off", max_tokens=n_tokens, temperature=0, logit_bias=no_end
            )
            assert answer.usage.completion_tokens == n_tokens


def test_a_curve_that_was_measured_on_a_busy_machine_is_given_up(
    tiny_llama: TinyModel, measured: Install, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="aspd_local")
    made = measured(REPACKED_PAYS)  # a second a step
    # Two answers each: the first of 40 tokens refutes the curve, before the second it is measured again.
    for n_tokens, n_measured in ((4, 2), (40, 3), (4, 5)):
        write_serially(tiny_llama.path, n_tokens)
        assert len(made.made) == n_measured
    assert sum(profile.BUSY in record.message for record in caplog.records) == 2


def test_a_curve_that_steps_bear_out_is_kept(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured({True: lambda _: 1e-9, False: linear})
    for _ in range(2):
        write_serially(tiny_llama.path, 40)
    assert len(made.made) == 2


def test_where_no_plan_can_pay_none_is_asked_for(tiny_llama: TinyModel, measured: Install) -> None:
    measured({True: linear, False: linear})
    with Model(tiny_llama.path, n_threads=1) as model:
        answer = model.generate("Q2", max_tokens=2, temperature=0)
        assert answer.protocol == "serial"
        assert answer.fallback is not None
        assert "predicted to pay" in answer.fallback
        assert model.generate("Q2", max_tokens=2, plan="always").protocol == model.protocol != "serial"
        assert model.generate("Q2", max_tokens=2, parallel="off").fallback is None


def test_profile_off_measures_nothing(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_PAYS)
    Model(tiny_llama.path, n_threads=1, profile="off").close()
    assert made.made == []


def test_model_lays_weights_out_as_it_is_told(tiny_llama: TinyModel, measured: Install) -> None:
    made = measured(REPACKED_PAYS)
    Model(tiny_llama.path, n_threads=1, repack="off").close()
    assert made.made == [(False, profile.SHORT)]


@pytest.mark.parametrize("setting", ["profile", "repack"])
def test_unknown_words_are_refused(tiny_llama: TinyModel, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be one of"):
        Model(tiny_llama.path, **{setting: "sometimes"})  # type: ignore[arg-type]


def test_cost_is_a_mean_over_widths() -> None:
    key = Key(model="m", device="d", n_threads=2, n_threads_batch=2, settings="s", build="b")
    points = tuple(Point(width=width, depth=64, seconds=2.0 * width) for width in (1, 4, 8))
    found = Profile(key=key, points=points, prompt_token_s=0.001)
    assert tuning.cost(found) == pytest.approx(2.0)
    halved = dataclasses.replace(found, points=(*points[:2], Point(width=8, depth=64, seconds=8.0)))
    assert tuning.cost(halved) == pytest.approx(5 / 3)


def _answer_at_length(model: Model) -> None:
    """Long enough that it tells how fast steps are."""
    model.generate("x", parallel="off", max_tokens=40, temperature=0.0)


def _open(tiny_llama: TinyModel) -> Model:
    return Model(tiny_llama.path, n_ctx=256, n_threads=1, n_threads_batch=1, repack="on")


def test_a_curve_of_a_busy_machine_is_measured_again_before_the_next_answer(
    tiny_llama: TinyModel, measured: Install, caplog: pytest.LogCaptureFixture
) -> None:
    made = measured(REPACKED_PAYS)  # a second a step: no machine is as slow
    with _open(tiny_llama) as model:
        assert len(made.made) == 1
        _answer_at_length(model)
        [told] = [record for record in caplog.records if record.name == "aspd_local.profile"]
        assert profile.BUSY in told.getMessage()
        assert len(made.made) == 1
        made.seconds = {True: lambda width: 1e-9 * width}
        _answer_at_length(model)
        assert len(made.made) == 2
        _answer_at_length(model)
        assert len(made.made) == 2
    with _open(tiny_llama):
        assert len(made.made) == 2  # the second curve is kept


def test_a_machine_that_is_never_quiet_is_not_measured_for_ever(
    tiny_llama: TinyModel, measured: Install
) -> None:
    made = measured(REPACKED_PAYS)
    with _open(tiny_llama) as model:
        for _ in range(8):
            _answer_at_length(model)
    assert len(made.made) == 4


def test_steps_of_very_different_times_are_told_and_not_kept(
    tiny_llama: TinyModel, measured: Install, caplog: pytest.LogCaptureFixture
) -> None:
    made = measured({True: lambda width: 1e-9 * width})
    made.steady = False
    with _open(tiny_llama) as model:
        assert [record.levelname for record in caplog.records if profile.BUSY in record.getMessage()] == [
            "WARNING"
        ]
        made.steady = True
        _answer_at_length(model)
        _answer_at_length(model)
        assert len(made.made) == 2
    with _open(tiny_llama):
        assert len(made.made) == 2
