"""`aspd train`: from a data set and a base to a folder with what was learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from aspd_local import protocol
from aspd_local.train.checkpoint import Folder, digest
from aspd_local.train.config import TrainConfig
from aspd_local.train.examples import Examples, load_examples
from aspd_local.train.examples import Progress as Reading
from aspd_local.train.loop import Progress, Told, Trainer
from aspd_local.train.markers import Markers, choose_markers
from aspd_local.train.network import Device, add_adapter, add_markers, choose_device, load_base, trained
from aspd_local.train.samples import SampleMaker
from aspd_local.train.vocabulary import open_vocabulary


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told what: reading by (what, done, all); started once; trained at every step."""

    reading: Reading = lambda _what, _done, _all: None
    started: Callable[[Examples, Markers, int, int], None] = lambda _examples, _markers, _steps, _numbers: (
        None
    )
    trained: Callable[[Told], None] = lambda _told: None


@dataclass(frozen=True, kw_only=True)
class How:
    """resume: go on with the run in the folder. force: replace what is in it."""

    resume: bool = False
    force: bool = False
    watch: Watch = field(default_factory=Watch)


def train(data: Path, base: Path, out: Path, config: TrainConfig, how: How | None = None) -> Progress:
    """Trains, and leaves run.json, history.jsonl, weights.safetensors and loss.png in `out`.

    Args:
        base: a GGUF file or a Hugging Face folder.

    Raises:
        DataError: the data is not the pipeline's; `out` holds something else.
        ModelError: the base cannot be trained: no chat template, another architecture, not enough memory.
        ProtocolError: the vocabulary has no place for the markers.
        ValueError: the device is not there.
    """
    how = how or How()
    watch = how.watch
    if config.threads:
        torch.set_num_threads(config.threads)
    device = choose_device(config)
    prepared = prepare(data, base, config, watch.reading)
    examples, markers = prepared.examples, prepared.markers
    folder = Folder(out)
    goes_on = folder.begin(prepared.said, resume=how.resume, force=how.force)
    model = open_network(base, markers, config, device)
    trainer = Trainer(model, examples, config, device, folder)
    watch.started(examples, markers, trainer.n_steps, sum(p.numel() for p in trained(model).values()))
    trainer.dry_run()
    if goes_on:
        trainer.resume()
    progress = trainer.run(watch.trained)
    plot_losses(folder)
    return progress


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What training begins with. said: run.json, by which `aspd train export` knows what was trained."""

    examples: Examples
    markers: Markers
    said: dict[str, Any]


def prepare(
    data: Path, base: Path, config: TrainConfig, reading: Reading = lambda _what, _done, _all: None
) -> Prepared:
    """Examples as token ids with their places, and the tokens of the markers. Raises: as train()."""
    vocabulary = open_vocabulary(base)
    file = protocol.load("aspd")
    markers = choose_markers(vocabulary.tokens(), vocabulary.template, file)
    maker = SampleMaker(vocabulary, markers, file, config.rule)
    said = {
        "config": config.to_json(),
        "protocol": file.name,
        "markers": dict(markers.ids),
        "spellings": dict(markers.spellings),
        "n_vocab": markers.n_vocab,
        "base": {"name": base.name, "sha256": digest(base)},
        "data": {"name": data.name, "sha256": digest(data)},
    }
    return Prepared(examples=load_examples(data, maker, file, config, reading), markers=markers, said=said)


def open_network(base: Path, markers: Markers, config: TrainConfig, device: Device) -> Any:
    """The base with the markers' rows and what is trained. Raises ModelError."""
    model = load_base(base)
    add_markers(model, markers, config.seed)
    model = add_adapter(model, config, markers)
    if device.bf16:  # what is not trained needs no more digits than the products take
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    return model


def plot_losses(folder: Folder) -> None:
    """loss.png: the training loss, smoothed, and the held-out loss over the steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from aspd_local.train.checkpoint import PLOT

    history = folder.read_history()
    steps = [entry for entry in history if "loss" in entry]
    looks = [entry for entry in history if "valid" in entry]
    figure, axes = plt.subplots(figsize=(7, 4), dpi=120)
    axes.plot([e["step"] for e in steps], [e["loss"] for e in steps], color="0.75", lw=0.8, label="each step")
    mean = [sum(e["loss"] for e in steps[max(0, i - 19) : i + 1]) / min(i + 1, 20) for i in range(len(steps))]
    axes.plot([e["step"] for e in steps], mean, color="tab:blue", label="mean of 20 steps")
    if looks:
        axes.plot(
            [e["step"] for e in looks],
            [e["valid"] for e in looks],
            "o-",
            color="tab:orange",
            label="held out",
        )
    axes.set_xlabel("step")
    axes.set_ylabel("nats a learnt token")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(folder.path / PLOT)
    plt.close(figure)
