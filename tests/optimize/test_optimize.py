"""The whole of `optimize`: what is measured, what is written, and what is left behind where it fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from aspd_local import Model, ModelError, _core
from aspd_local.errors import DiskFullError
from aspd_local.optimize import Settings, Types, built_in_text, check_out, optimize, trial, warnings
from aspd_local.optimize.candidates import Curve
from aspd_local.sources import Store
from tiny.files import TinyModel
from tiny.forward import NumpyModel

FEW = Settings(weights=("Q4_0", "Q8_0"), heads=("Q6_K",), max_loss=1.0, max_tokens=200, n_threads=1)


@pytest.fixture
def small_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take as long as the model is large, so that the choice does not hang on this machine's mood."""

    def curve(model: _core.Model, widths: Sequence[int] = trial.WIDTHS, **_: object) -> Curve:
        return Curve(seconds={width: model.size_bytes * width**0.5 / 1e9 for width in widths}, spread=1.0)

    monkeypatch.setattr(trial, "measure_curve", curve)


def load(path: Path) -> _core.Model:
    return _core.Model.load(str(path), _core.ModelOptions())


# --- what is measured ---------------------------------------------------------------------------------------


def test_curve_has_a_time_for_every_width(wide: TinyModel) -> None:
    curve = trial.measure_curve(load(wide.path), (1, 2, 5), n_threads=1)
    assert list(curve.seconds) == [1, 2, 5]
    assert all(0 < seconds < 10 for seconds in curve.seconds.values())
    assert 1 <= curve.spread < 1000


def test_curve_tells_how_far_it_is(wide: TinyModel) -> None:
    seen: list[float] = []
    trial.measure_curve(load(wide.path), (1, 2), n_threads=1, told=seen.append)
    assert seen == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_curve_is_that_of_the_quietest_round(wide: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([3.0, 8.0, 1.0, 2.0, 4.0, 2.5])  # widths 1 and 2, three times

    class Engine:
        can_join = True

        def measure_step(self, width: int, depth: int, n_steps: int) -> list[float]:
            assert (width in (1, 2), depth > 0) == (True, True)
            median = next(busy)
            return [median / 2, median, median * 9][:n_steps]

    monkeypatch.setattr(trial, "_engine", lambda *_, **__: Engine())
    curve = trial.measure_curve(load(wide.path), (1, 2))
    assert (curve.seconds, curve.spread) == ({1: 1.0, 2: 2.0}, 4.0)


def test_token_losses_are_those_of_an_independent_forward_pass(wide: TinyModel) -> None:
    model = load(wide.path)
    token_ids = model.tokenize(built_in_text(), False)[:540]  # a chunk of 512 and one of 28
    expected: list[float] = []
    for chunk in (token_ids[:512], token_ids[512:]):
        n = len(chunk)
        rows = NumpyModel(wide.path).logits(chunk, list(range(n)), np.tril(np.ones((n, n), bool)))
        rows = rows - rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        expected += [-rows[i, chunk[i + 1]] for i in range(n - 1)]
    np.testing.assert_allclose(trial.token_losses(model, token_ids, n_threads=1), expected, atol=0.05)


def test_eight_bits_lose_less_than_four(wide: TinyModel, requantised: Callable[[str, str], Path]) -> None:
    token_ids = load(wide.path).tokenize(built_in_text(), False)[:500]

    def distance(weights: str) -> float:
        losses = trial.token_losses(load(requantised(weights, weights)), token_ids, n_threads=1)
        return float(np.abs(np.subtract(losses, before)).mean())

    before = trial.token_losses(load(wide.path), token_ids, n_threads=1)
    assert 0 < distance("Q8_0") < distance("Q4_0")


def test_the_built_in_text_has_about_two_thousand_tokens() -> None:
    assert 1500 < len(built_in_text().split()) < 2500


# --- what is written ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_is_fast")
def test_the_chosen_file_is_written_and_nothing_else(
    wide: TinyModel, requantised: Callable[[str, str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    report = optimize(wide.path, out, FEW)
    assert report.chosen is not None
    assert str(report.chosen.types) == "Q4_0, head Q6_K"
    assert [str(each.types) for each in report.candidates] == ["Q4_0, head Q6_K", "Q8_0, head Q6_K"]
    assert (report.failed, report.why_nothing()) == ((), "")
    assert out.read_bytes() == requantised("Q4_0", "Q6_K").read_bytes()
    assert report.chosen.size_bytes == out.stat().st_size
    assert list(tmp_path.iterdir()) == [out]
    Model(out, n_ctx=256, n_threads=1, n_threads_batch=1).close()


@pytest.mark.usefixtures("small_is_fast")
def test_the_losses_are_relative_to_the_source(wide: TinyModel, tmp_path: Path) -> None:
    report = optimize(wide.path, tmp_path / "out.gguf", FEW)
    assert report.n_tokens == 199
    assert report.source.loss == 0
    for each in report.candidates:
        assert each.loss == pytest.approx(each.perplexity / report.source.perplexity - 1)
        assert 0 < each.loss_error < 0.2


@pytest.mark.usefixtures("small_is_fast")
def test_a_text_of_ones_own_is_measured(wide: TinyModel, tmp_path: Path) -> None:
    text = "the king and the queen " * 30
    own = Settings(text=text, weights=("Q8_0",), heads=("Q8_0",), max_loss=1.0, n_threads=1)
    report = optimize(wide.path, tmp_path / "own.gguf", own)
    assert report.n_tokens == len(load(wide.path).tokenize(text, False)) - 1
    theirs = optimize(wide.path, tmp_path / "theirs.gguf", FEW)
    assert report.source.perplexity != pytest.approx(theirs.source.perplexity, rel=0.01)


@pytest.mark.usefixtures("small_is_fast")
def test_without_a_candidate_within_the_loss_nothing_is_written(
    wide: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "loss_of", lambda *_: (0.05, 0.01))
    report = optimize(
        wide.path, tmp_path / "out.gguf", Settings(weights=("Q4_0",), max_tokens=64, n_threads=1)
    )
    assert report.chosen is None
    assert report.why_nothing() == "every candidate loses more than 2.00%; Q4_0, head Q4_0 loses least, 5.00%"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_is_fast")
def test_where_nothing_is_faster_nothing_is_written(
    requantised: Callable[[str, str], Path], tmp_path: Path
) -> None:
    settings = Settings(weights=("Q8_0",), heads=("Q8_0",), max_loss=1.0, max_tokens=64, n_threads=1)
    report = optimize(requantised("Q4_0", "Q4_0"), tmp_path / "out.gguf", settings)
    assert report.why_nothing() == "no candidate within the loss is clearly faster than the source"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_is_fast")
def test_a_candidate_that_fails_does_not_end_the_work(
    wide: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = trial.write

    def fail(source: trial.Source, path: Path, types: Types, told: trial.Told) -> None:
        if types.weights == "Q4_0":
            raise ModelError("broken")
        write(source, path, types, told)

    monkeypatch.setattr(trial, "write", fail)
    report = optimize(wide.path, tmp_path / "out.gguf", FEW)
    assert [(str(types), reason) for types, reason in report.failed] == [("Q4_0, head Q6_K", "broken")]
    assert report.chosen is not None
    assert report.chosen.types.weights == "Q8_0"


@pytest.mark.usefixtures("small_is_fast")
def test_progress_goes_from_nothing_to_all(wide: TinyModel, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    optimize(wide.path, tmp_path / "out.gguf", FEW, progress=lambda label, done: seen.append((label, done)))
    shares = [done for _, done in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.75 <= shares[-1] <= 1
    assert list(dict.fromkeys(label for label, _ in seen)) == [
        "measuring wide.gguf",
        "Q4_0, head Q6_K (1 of 2)",
        "Q8_0, head Q6_K (2 of 2)",
        "writing Q4_0, head Q6_K",
    ]


def test_only_a_quantised_source_is_warned_of(
    wide: TinyModel, requantised: Callable[[str, str], Path]
) -> None:
    assert warnings(wide.path) == []
    assert ["quantised already (Q8_0, head Q6_K)" in line for line in warnings(requantised("Q8_0", "Q6_K"))]


# --- what is refused ----------------------------------------------------------------------------------------


def test_an_existing_file_is_refused_unless_it_may_be_replaced(wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"before")
    with pytest.raises(ValueError, match="exists already"):
        optimize(wide.path, out, FEW)
    assert out.read_bytes() == b"before"
    check_out(out, wide.path, force=True)


@pytest.mark.usefixtures("small_is_fast")
def test_force_replaces_it(wide: TinyModel, requantised: Callable[[str, str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"before")
    optimize(wide.path, out, FEW, force=True)
    assert out.read_bytes() == requantised("Q4_0", "Q6_K").read_bytes()


def test_the_source_is_not_replaced_even_by_force(wide: TinyModel, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(wide.path)
    for out in (wide.path, link):
        with pytest.raises(ValueError, match="is the model itself"):
            optimize(wide.path, out, FEW, force=True)


def test_a_place_that_cannot_hold_a_file_is_refused(wide: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        optimize(wide.path, tmp_path / "none" / "out.gguf", FEW)
    with pytest.raises(ValueError, match="is not a file"):
        optimize(wide.path, tmp_path, FEW, force=True)


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_mamba", "tiny_lfm2", "tiny_t5"])
def test_models_that_decode_no_branches_are_refused(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tiny: TinyModel = request.getfixturevalue(name)
    with pytest.raises(ModelError) as caught:
        optimize(tiny.path, tmp_path / "out.gguf", Settings(max_tokens=64, n_threads=1))
    assert caught.value.path == str(tiny.path)
    assert list(tmp_path.iterdir()) == []


def test_a_short_text_is_refused(wide: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the text has 1 tokens; 64 are needed"):
        optimize(wide.path, tmp_path / "out.gguf", Settings(text="a", n_threads=1))


@pytest.mark.parametrize(
    "wrong", [{"max_loss": -0.1}, {"max_loss": float("nan")}, {"max_tokens": 63}, {"n_threads": -1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


# --- what is left behind ------------------------------------------------------------------------------------


def test_no_room_is_told_before_anything_is_measured(
    wide: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 100_000))
    seen: list[str] = []
    with pytest.raises(DiskFullError) as caught:
        optimize(wide.path, tmp_path / "out.gguf", FEW, progress=lambda label, _: seen.append(label))
    assert caught.value.path == str(tmp_path)
    assert caught.value.needed > 1_000_000
    assert seen == []


def test_a_disk_that_fills_up_is_told_and_keeps_the_file_that_was(wide: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"before")
    limited = (
        "import resource, sys; from aspd_local import errors, optimize\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "settings = optimize.Settings(weights=('Q4_0',), max_tokens=64, n_threads=1)\n"
        "try: optimize.optimize(sys.argv[1], sys.argv[2], settings, force=True)\n"
        "except errors.DiskFullError as error: print(error)"
    )
    command = [sys.executable, "-c", limited, str(wide.path), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.startswith(f"{out}: no space left in {tmp_path}: ")
    assert out.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("small_is_fast")
@pytest.mark.parametrize("stage", ["measuring", "Q4_0, head Q6_K (1", "Q8_0, head Q6_K (2", "writing"])
def test_what_progress_raises_leaves_nothing_behind(wide: TinyModel, tmp_path: Path, stage: str) -> None:
    def stop(label: str, _: float) -> None:
        if label.startswith(stage):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimize(wide.path, tmp_path / "out.gguf", FEW, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.model
def test_a_real_model_is_written_and_answers(tmp_path: Path) -> None:
    source = Store().path("smollm2-135m")
    out = tmp_path / "out.gguf"
    settings = Settings(weights=("Q4_0",), heads=("Q8_0",), max_loss=1.0, max_tokens=256, n_threads=1)
    report = optimize(source, out, settings)
    assert [str(each.types) for each in report.candidates] == ["Q4_0, head Q8_0"]
    assert 1 < report.source.perplexity < 100
    assert report.chosen is None or Model(out).generate("The capital of France is", max_tokens=4).text
