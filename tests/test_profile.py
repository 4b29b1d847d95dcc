"""Profiles: measured on a tiny engine, kept in a cache, never used for anything else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from aspd_local import _core, profile
from aspd_local.errors import ContextFullError
from aspd_local.profile import Extent, Key, Point, Profile
from aspd_local.sources.store import Store
from driver import open_engine
from tiny.files import TinyModel

KEY = Key(model="m", device="d", n_threads=2, n_threads_batch=2, settings="s", build="b")


def _profile(seconds: list[float], key: Key = KEY) -> Profile:
    points = tuple(Point(width=i + 1, depth=64, seconds=s) for i, s in enumerate(seconds))
    return Profile(key=key, points=points, prompt_token_s=0.001)


def test_measured_points_are_those_asked_for(tiny_llama: TinyModel) -> None:
    engine = open_engine(tiny_llama)
    seen: list[tuple[int, int]] = []
    found = profile.measure(
        KEY,
        engine,
        Extent(widths=(1, 2, 4), depths=(10, 30), n_steps=2),
        lambda done, total: seen.append((done, total)),
    )
    assert [(point.width, point.depth) for point in found.points] == [
        (width, depth) for depth in (10, 30) for width in (1, 2, 4)
    ]
    assert all(point.seconds > 0 for point in found.points)
    assert found.prompt_token_s > 0
    assert seen == [(i, 6) for i in range(1, 7)]
    assert engine.cells_in_use == 0


@pytest.mark.parametrize("widths", [(2, 3), (0, 1), (1, 1000), ()])
def test_widths_out_of_range_are_refused(tiny_llama: TinyModel, widths: tuple[int, ...]) -> None:
    engine = open_engine(tiny_llama)
    with pytest.raises(ValueError, match="width"):
        profile.measure(KEY, engine, Extent(widths=widths, depths=(10,), n_steps=1))
    assert engine.cells_in_use == 0


def test_depth_beyond_the_context_is_refused(tiny_llama: TinyModel) -> None:
    engine = open_engine(tiny_llama)
    with pytest.raises(ContextFullError):
        profile.measure(KEY, engine, Extent(widths=(1,), depths=(100_000,), n_steps=1))
    assert engine.cells_in_use == 0


def test_model_that_cannot_fork_is_refused(tiny_mamba: TinyModel) -> None:
    with pytest.raises(ValueError, match="cannot join"):
        profile.measure(KEY, open_engine(tiny_mamba), Extent(widths=(1, 2), depths=(10,), n_steps=1))


def test_kept_profile_comes_back(tmp_path: Path) -> None:
    kept = _profile([1.0, 1.5])
    profile.save(kept, Store(tmp_path))
    assert profile.load(KEY, Store(tmp_path)) == kept


@pytest.mark.parametrize("field", ["model", "device", "settings", "build"])
def test_profile_of_another_key_is_not_found(tmp_path: Path, field: str) -> None:
    profile.save(_profile([1.0]), Store(tmp_path))
    assert profile.load(Key(**{**dataclasses.asdict(KEY), field: "other"}), Store(tmp_path)) is None


def test_file_of_another_build_under_this_name_is_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = profile.save(_profile([1.0]), store)
    raw = json.loads(path.read_text())
    raw["key"]["build"] = "other"
    path.write_text(json.dumps(raw))
    assert profile.load(KEY, store) is None


def test_a_forgotten_profile_is_gone_and_another_one_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = _profile([0.1, 0.2]), _profile([0.01, 0.02])
    profile.forget(old, store)  # there is none
    profile.save(old, store)
    profile.forget(new, store)
    assert profile.load(KEY, store) == old
    profile.forget(old, store)
    assert profile.load(KEY, store) is None


@pytest.mark.parametrize(("one_lane_s", "refuted"), [(0.0, False), (0.06, True), (0.07, False), (0.5, False)])
def test_steps_that_are_far_faster_refute_a_profile(one_lane_s: float, refuted: bool) -> None:
    assert _profile([0.1, 0.11]).is_refuted_by(one_lane_s) == refuted


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"key": {}}', '{"key": 3, "points": [], "prompt_token_s": 0}']
)
def test_damaged_file_is_ignored(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path)
    path = profile.save(_profile([1.0]), store)
    path.write_text(text)
    assert profile.load(KEY, store) is None


def test_curve_that_is_none_is_ignored(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = profile.save(_profile([1.0]), store)
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": -1.0'))
    assert profile.load(KEY, store) is None


def test_bargains_are_widths_that_beat_all_narrower_ones() -> None:
    assert _profile([1.0, 1.9, 2.4, 1.6, 2.4, 3.2, 4.0, 3.0]).bargains() == (2, 3, 4, 8)
    assert _profile([1.0, 2.0, 3.0, 4.0]).bargains() == ()


def test_speedup_of_equal_branches_is_that_of_the_best_schedule() -> None:
    staircase = _profile([1.0, 1.9, 2.4, 1.6])
    assert staircase.speedup(4) == pytest.approx(4 / 1.6)
    assert staircase.speedup(3) == pytest.approx(3 / 1.6)  # padded to four
    assert staircase.speedup(1) == pytest.approx(1.0)


def test_key_is_that_of_the_options_that_the_engine_fills_in(tiny_llama: TinyModel) -> None:
    engine = open_engine(tiny_llama)
    given = _core.EngineOptions()
    given.cache_type, given.flash_attn = engine.options.cache_type, engine.options.flash_attn
    key = profile.key_of(tiny_llama.path, given, n_gpu_layers=0, repack="auto")
    assert key.build == _core.build_info()
    assert key.n_threads == _core.physical_cores()
    given.n_threads = given.n_threads_batch = _core.physical_cores()
    assert key == profile.key_of(tiny_llama.path, given, n_gpu_layers=0, repack="auto")


def test_key_tells_settings_apart(tiny_llama: TinyModel) -> None:
    options = _core.EngineOptions()
    key = profile.key_of(tiny_llama.path, options, n_gpu_layers=0, repack="auto")
    assert key != profile.key_of(tiny_llama.path, options, n_gpu_layers=1, repack="auto")
    assert key != profile.key_of(tiny_llama.path, options, n_gpu_layers=0, repack="off")
    options.n_threads = 77
    assert key != profile.key_of(tiny_llama.path, options, n_gpu_layers=0, repack="auto")


def test_best_gain_is_that_of_the_best_number_of_branches() -> None:
    bound = _core.Protocol()
    bound.branch_tokens, bound.join_rule = 40, _core.JoinRule.SUM
    flat, linear = _profile([1.0] * 8), _profile([1.0, 2.0, 3.0, 4.0])
    assert flat.best_gain(bound, 16) > 6
    assert flat.best_gain(bound, 2) < 2.1  # two lanes are all that the engine has
    assert linear.best_gain(bound, 16) == 1.0
    bound.join_rule = _core.JoinRule.LINEAR
    assert flat.best_gain(bound, 16) < 8
