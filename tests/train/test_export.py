"""From a run to a model file: merged weights compute what PyTorch computes; the file runs natively."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_records import stories, write_set
from typer.testing import CliRunner

pytest.importorskip("torch")  # before what imports it

import torch

from aspd_local import DataError, Model, ModelError, _core
from aspd_local.cli import train as command
from aspd_local.layout import Trunk, lay_out
from aspd_local.train import Markers, TrainConfig, verb
from aspd_local.train.export import Floats, permuted, read_weights
from aspd_local.train.merging import Export, Types, export_adapter, export_model
from aspd_local.train.network import add_adapter, add_markers, load_base, trained
from aspd_local.train.whole import write_whole
from driver import logits, open_engine
from tiny.files import TinyModel

CONFIG = TrainConfig(
    precision="f32", epochs=2, learning_rate=2e-2, tokens_per_step=200, row_tokens=200, rank=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module", params=["markers are there", "markers are new"])
def trained_on(request: pytest.FixtureRequest, tiny_llama: TinyModel, plain_tiny: TinyModel) -> TinyModel:
    return tiny_llama if request.param == "markers are there" else plain_tiny


@pytest.fixture(scope="module")
def run(trained_on: TinyModel, folder: Path) -> Path:
    out = folder / trained_on.path.stem
    verb.train(write_set(folder / "set.jsonl", stories(8)), trained_on.path, out, CONFIG)
    return out


@pytest.fixture(scope="module")
def merged(trained_on: TinyModel, run: Path) -> Path:
    export_adapter(run, trained_on.path, run / "adapter.gguf")
    _core.merge(str(trained_on.path), str(run / "adapter.gguf"), str(run / "merged.gguf"))
    return run / "merged.gguf"


def trained_logits(base: Path, run: Path, config: TrainConfig) -> tuple[list[int], Floats]:
    """Token ids, markers among them, and what PyTorch computes for them with a run's weights."""
    from safetensors.torch import load_file

    said = json.loads((run / "run.json").read_text())
    markers = Markers(
        protocol="aspd",
        ids=said["markers"],
        spellings=said["spellings"],
        n_vocab=said["n_vocab"],
        how="present",
    )
    network = load_base(base)
    add_markers(network, markers, 0)
    network = add_adapter(network, config, markers)
    weights = load_file(run / "weights.safetensors")
    with torch.no_grad():
        for name, parameter in trained(network).items():
            parameter.copy_(weights[name])
        ids = [70, 71, *sorted(said["markers"].values()), 72, 73]
        return ids, network(input_ids=torch.tensor([ids])).logits[0].numpy()


def test_merged_file_has_the_logits_of_the_trained_network(
    trained_on: TinyModel, run: Path, merged: Path
) -> None:
    ids, wanted = trained_logits(trained_on.path, run, CONFIG)
    whole = TinyModel(path=merged, vocabulary=trained_on.vocabulary)
    found = logits(open_engine(whole), lay_out([Trunk(ids)], "linear"))
    base = logits(open_engine(trained_on), lay_out([Trunk([70, 71, 72, 73])], "linear"))
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()  # F16 weights, 8-bit halves of LoRA
    assert np.abs(found[:2, : base.shape[1]] - base[:2]).max() > 0.3 * np.abs(base).max()


@pytest.mark.parametrize("name", ["tiny_llama", "plain_tiny", "tiny_qwen2"])
def test_file_of_a_full_run_has_the_logits_of_the_trained_network(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base: TinyModel = request.getfixturevalue(name)
    config = replace(CONFIG, method="full", learning_rate=5e-3)
    run, out = tmp_path / "run", tmp_path / "whole.gguf"
    verb.train(write_set(tmp_path / "set.jsonl", stories(8)), base.path, run, config)
    write_whole(json.loads((run / "run.json").read_text()), read_weights(run), base.path, out)
    assert {each.name for each in tmp_path.iterdir()} == {"run", "set.jsonl", "whole.gguf"}
    ids, wanted = trained_logits(base.path, run, config)
    whole = TinyModel(path=out, vocabulary=base.vocabulary)
    found = logits(open_engine(whole), lay_out([Trunk(ids)], "linear"))
    before = logits(open_engine(base), lay_out([Trunk([70, 71, 72, 73])], "linear"))
    assert np.abs(found - wanted).max() < 0.005 * np.abs(wanted).max()  # F16 weights
    assert np.abs(found[:2, : before.shape[1]] - before[:2]).max() > 0.1 * np.abs(before).max()
    args = [str(run), "-o", str(out), "--base", str(base.path), "--force"]
    result = CliRunner().invoke(command.export_app, [*args, "--weights", "q8_0"])
    assert result.exit_code == 0, result.output
    assert _core.summarize_weights(str(out)).weights == "Q8_0"
    with Model(out, n_ctx=512, profile="off") as model:
        assert model.protocol == "aspd"
    refused = CliRunner().invoke(command.export_app, [*args, "--adapter"])
    assert refused.exit_code == 1
    assert "there is no adapter" in refused.output


def test_full_run_of_another_model_is_refused(
    tiny_llama: TinyModel, tiny_qwen2: TinyModel, tmp_path: Path
) -> None:
    config = replace(CONFIG, method="full", epochs=1)
    run, out = tmp_path / "run", tmp_path / "whole.gguf"
    verb.train(write_set(tmp_path / "set.jsonl", stories(8)), tiny_llama.path, run, config)
    wanted = Export(source=run, base=tiny_qwen2.path, out=out, types=Types(weights="q8_0", head="q8_0"))
    with pytest.raises((DataError, ModelError)):
        export_model(wanted, tmp_path)
    assert not out.exists()


def test_merged_file_runs_natively(merged: Path) -> None:
    with Model(merged, n_ctx=512, profile="off") as model:
        assert model.protocol == "aspd"
        assert model.core.metadata()["aspd.join_rule"] == "sum"
        assert model.chat("What is in house 3?", max_tokens=20, temperature=0).protocol == "aspd"


def test_adapter_says_what_it_is(run: Path, merged: Path) -> None:
    del merged
    said = _core.summarize_adapter(str(run / "adapter.gguf"))
    assert (said.architecture, said.protocol, said.rank) == ("llama", "aspd", CONFIG.rank)
    assert said.n_matrices == 2 * 7
    assert len(said.base_sha256) == 64


def test_adapter_of_another_model_is_refused(
    merged: Path, run: Path, tiny_qwen2: TinyModel, tmp_path: Path
) -> None:
    del merged
    out = tmp_path / "out.gguf"
    with pytest.raises(ModelError, match="architecture"):
        _core.merge(str(tiny_qwen2.path), str(run / "adapter.gguf"), str(out))
    with pytest.raises(ModelError, match="no LoRA adapter"):
        _core.merge(str(tiny_qwen2.path), str(tiny_qwen2.path), str(out))
    assert not out.exists()


def test_damaged_adapter_is_refused(merged: Path, trained_on: TinyModel, run: Path, tmp_path: Path) -> None:
    del merged
    whole = (run / "adapter.gguf").read_bytes()
    for size in (0, 10, 1000, len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(ModelError):
            _core.merge(str(trained_on.path), str(tmp_path / "cut.gguf"), str(tmp_path / "out.gguf"))
        assert not (tmp_path / "out.gguf").exists()


def test_merging_over_its_own_base_is_refused(merged: Path, trained_on: TinyModel, run: Path) -> None:
    del merged
    with pytest.raises(ValueError, match="own source"):
        _core.merge(str(trained_on.path), str(run / "adapter.gguf"), str(trained_on.path))


def test_export_command_writes_types_that_were_asked_for(
    merged: Path, trained_on: TinyModel, run: Path
) -> None:
    del merged
    out = run / "model.gguf"
    args = ["-o", str(out), "--base", str(trained_on.path), "--weights", "q8_0"]
    result = CliRunner().invoke(command.export_app, [str(run / "adapter.gguf"), *args])
    assert result.exit_code == 0, result.output
    assert _core.summarize_weights(str(out)).weights == "Q8_0"
    again = CliRunner().invoke(command.export_app, [str(run), *args])
    assert again.exit_code == 2
    assert "--force" in again.output
    assert CliRunner().invoke(command.export_app, [str(run), *args, "--force"]).exit_code == 0


def test_rows_of_a_head_are_interleaved_by_halves() -> None:
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    assert permuted(rows, 2)[:, 0].tolist() == [0, 4, 2, 6, 8, 12, 10, 14]
