"""Training on the tiny model: PyTorch's numbers are the engine's; a run learns, reproduces and goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_records import PLAIN, STORY, stories, write_set

pytest.importorskip("torch")  # before what imports it

import torch

from aspd_local import DataError, ModelError
from aspd_local.train import Markers, SampleMaker, TrainConfig, verb
from aspd_local.train.loop import Told
from aspd_local.train.network import Device, add_adapter, add_markers, load_base, log_likelihoods, trained
from aspd_local.train.packing import row_of
from aspd_local.train.verb import How, Watch
from driver import logits, open_engine
from tiny.files import TinyModel

CPU = Device(name="cpu", bf16=False)
CONFIG = TrainConfig(
    precision="f32", epochs=3, learning_rate=5e-3, tokens_per_step=200, row_tokens=200, threads=1, rank=4
)


@pytest.mark.parametrize("rule", ["sum", "longest"])
def test_logits_under_the_mask_are_those_of_the_engine(
    tiny_llama: TinyModel, tiny_qwen2: TinyModel, maker: SampleMaker, rule: Any
) -> None:
    maker._rule = rule
    for tiny in (tiny_llama, tiny_qwen2):
        sample = maker.make(STORY)
        wanted = logits(open_engine(tiny), sample.layout)
        model = load_base(tiny.path)
        row = row_of([sample], rule=rule)
        mask = torch.zeros(row.mask.shape).masked_fill(torch.from_numpy(~row.mask), -1e30)
        with torch.no_grad():
            found = model(
                input_ids=torch.from_numpy(row.token_ids)[None],
                position_ids=torch.from_numpy(row.positions)[None],
                attention_mask=mask[None, None],
            ).logits[0]
        assert np.abs(found.numpy() - wanted).max() < 2e-4
    maker._rule = "sum"


def test_log_likelihoods_of_a_row_are_those_of_each_example_alone(
    tiny_llama: TinyModel, maker: SampleMaker
) -> None:
    model = load_base(tiny_llama.path)
    samples = [maker.make(PLAIN), maker.make(STORY)]
    with torch.no_grad():
        together = log_likelihoods(model, row_of(samples), CPU)
        alone = torch.cat([log_likelihoods(model, row_of([sample]), CPU) for sample in samples])
    assert torch.allclose(together, alone, atol=1e-5)


def test_gradients_are_those_of_cross_entropy(
    tiny_llama: TinyModel, markers: Markers, maker: SampleMaker
) -> None:
    row = row_of([maker.make(STORY)])
    model = add_adapter(load_base(tiny_llama.path), CONFIG, markers)
    torch.autograd.backward(-log_likelihoods(model, row, CPU).sum())
    ours = {name: _grad(parameter) for name, parameter in trained(model).items()}
    model.zero_grad()
    mask = torch.zeros(row.mask.shape).masked_fill(torch.from_numpy(~row.mask), -1e30)
    found = model(
        input_ids=torch.from_numpy(row.token_ids)[None],
        position_ids=torch.from_numpy(row.positions)[None],
        attention_mask=mask[None, None],
    ).logits[0][torch.from_numpy(row.sources)]
    loss = torch.nn.functional.cross_entropy(found, torch.from_numpy(row.targets), reduction="sum")
    torch.autograd.backward(loss)
    for name, parameter in trained(model).items():
        assert torch.allclose(ours[name], _grad(parameter), atol=1e-4), name
    assert any(name.endswith(".rows") and grad.abs().sum() > 0 for name, grad in ours.items())


def _grad(parameter: Any) -> Any:
    assert parameter.grad is not None
    return parameter.grad.clone()


def test_only_lora_and_the_markers_rows_are_trained(tiny_llama: TinyModel, markers: Markers) -> None:
    names = trained(add_adapter(load_base(tiny_llama.path), CONFIG, markers))
    assert all("lora_" in name or name.endswith(".rows") for name in names)
    assert sum(name.endswith(".rows") for name in names) == 2  # embedding and head of an untied model


def test_new_markers_make_the_embedding_larger(plain_tiny: TinyModel) -> None:
    from training_records import FILE

    from aspd_local.train import choose_markers, open_vocabulary

    vocabulary = open_vocabulary(plain_tiny.path)
    found = choose_markers(vocabulary.tokens(), vocabulary.template, FILE)
    model = load_base(plain_tiny.path)
    add_markers(model, found, 0)
    assert model.get_input_embeddings().weight.shape[0] == max(found.ids.values()) + 1
    assert model.get_output_embeddings().weight.shape[0] == max(found.ids.values()) + 1


def test_run_learns_and_the_same_seed_gives_the_same_weights(tiny_llama: TinyModel, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set.jsonl", stories(24))
    first = verb.train(data, tiny_llama.path, tmp_path / "a", CONFIG)
    second = verb.train(data, tiny_llama.path, tmp_path / "b", CONFIG)
    looks = [entry["valid"] for entry in first.history if "valid" in entry]
    assert looks[-1] < looks[0] - 0.5
    assert (tmp_path / "a" / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()
    assert second.step == first.step


class _KilledError(Exception):
    pass


def test_run_that_was_stopped_goes_on_to_the_same_weights(tiny_llama: TinyModel, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set.jsonl", stories(24))
    verb.train(data, tiny_llama.path, tmp_path / "whole", CONFIG)

    def stop(told: Told) -> None:
        if told.step == 5:
            raise _KilledError

    from aspd_local.train import loop

    out = tmp_path / "part"
    patch = pytest.MonkeyPatch()
    patch.setattr(loop.Trainer.run, "__kwdefaults__", {"save_every_s": 0.0})
    with pytest.raises(_KilledError):
        verb.train(data, tiny_llama.path, out, CONFIG, How(watch=Watch(trained=stop)))
    patch.undo()
    steps: list[int] = []
    how = How(resume=True, watch=Watch(trained=lambda told: steps.append(told.step)))
    verb.train(data, tiny_llama.path, out, CONFIG, how)
    assert steps[0] == 6
    assert (out / "weights.safetensors").read_bytes() == (
        tmp_path / "whole" / "weights.safetensors"
    ).read_bytes()


def test_run_with_other_settings_does_not_go_on(tiny_llama: TinyModel, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set.jsonl", stories(8))
    verb.train(data, tiny_llama.path, tmp_path / "run", replace(CONFIG, epochs=1))
    with pytest.raises(DataError, match="not empty"):
        verb.train(data, tiny_llama.path, tmp_path / "run", CONFIG)
    with pytest.raises(DataError, match="config"):
        verb.train(data, tiny_llama.path, tmp_path / "run", CONFIG, How(resume=True))


def test_training_stops_when_held_out_examples_get_no_better(tiny_llama: TinyModel, tmp_path: Path) -> None:
    data = write_set(tmp_path / "set.jsonl", stories(8))
    config = replace(CONFIG, epochs=50, patience=2, learning_rate=0.3)
    progress = verb.train(data, tiny_llama.path, tmp_path / "run", config)
    looks = [entry for entry in progress.history if "valid" in entry]
    assert progress.worse == 2
    assert len(looks) < 50
    assert progress.best == min(look["valid"] for look in looks)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_serial_layout_and_full_method_train(tiny_llama: TinyModel, tmp_path: Path, method: Any) -> None:
    data = write_set(tmp_path / "set.jsonl", stories(8))
    config = replace(CONFIG, epochs=1, layout="serial", method=method, checkpointing=True)
    progress = verb.train(data, tiny_llama.path, tmp_path / "run", config)
    said = json.loads((tmp_path / "run" / "run.json").read_text())
    assert progress.step > 0
    assert said["config"]["method"] == method


def test_bad_input_is_one_error_before_anything_is_computed(
    tiny_llama: TinyModel, tiny_mamba: TinyModel, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt": "a", "answer": "b"}\n')
    with pytest.raises(DataError, match=r"other.jsonl:1: no line of `aspd data build`"):
        verb.train(other, tiny_llama.path, tmp_path / "run", CONFIG)
    long = write_set(tmp_path / "long.jsonl", stories(4))
    with pytest.raises(DataError, match="no example of the training split"):
        verb.train(long, tiny_llama.path, tmp_path / "run", replace(CONFIG, length=20))
    with pytest.raises(ModelError):
        verb.train(long, tiny_mamba.path, tmp_path / "run", CONFIG)
    with pytest.raises(ValueError, match="device"):
        verb.train(long, tiny_llama.path, tmp_path / "run", replace(CONFIG, device="cuda:99"))
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"layout": "x"}, {"warmup": 1.0}, {"patience": -1}])
def test_configuration_names_the_wrong_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)
