"""`aspd train` and `aspd train export`: from a data set to a model that forks by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from aspd_local.cli.flags import spread
from aspd_local.cli.models import fetched
from aspd_local.cli.notes import note
from aspd_local.cli.shell import app_below, complete_model
from aspd_local.cli.working import need_extra, one_line, working
from aspd_local.sources import DEFAULT_BASE

if TYPE_CHECKING:
    from aspd_local.train.config import TrainConfig
    from aspd_local.train.examples import Examples
    from aspd_local.train.loop import Told
    from aspd_local.train.markers import Markers

_HELP = "Fine-tune a model on examples with parallel structure; `aspd train export DIR` makes a GGUF of it."
app = app_below("train", help=_HELP)
export_app = app_below("export")

_GO_ON = "the same command with --resume goes on"
_EXTRA = {"torch", "transformers", "peft", "gguf", "numpy", "safetensors", "matplotlib"}


class LayoutFlag(str, Enum):
    """How an answer is laid out."""

    ASPD = "aspd"
    SERIAL = "serial"


class RuleFlag(str, Enum):
    """How positions go on after a join."""

    SUM = "sum"
    LONGEST = "longest"


class BranchesFlag(str, Enum):
    """What a branch sees of its siblings."""

    ISOLATED = "isolated"
    VISIBLE = "visible"


class MethodFlag(str, Enum):
    """What is trained."""

    LORA = "lora"
    FULL = "full"


class PrecisionFlag(str, Enum):
    """Numbers of the forward pass."""

    AUTO = "auto"
    BF16 = "bf16"
    F32 = "f32"


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Where to, and how."""

    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the run.", file_okay=False)
    ]
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="A name, a GGUF file or a Hugging Face folder.",
            autocompletion=complete_model,
        ),
    ] = DEFAULT_BASE
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in DIR.")] = False
    force: Annotated[bool, typer.Option("--force", help="Replace what is in DIR.")] = False
    layout: Annotated[LayoutFlag, typer.Option("--layout", help="serial: for comparison.")] = LayoutFlag.ASPD
    rule: Annotated[RuleFlag, typer.Option("--rule", help="Positions after a join.")] = RuleFlag.SUM
    branches: Annotated[
        BranchesFlag, typer.Option("--branches", help="visible: siblings are seen (for comparison).")
    ] = BranchesFlag.ISOLATED
    method: Annotated[MethodFlag, typer.Option("--method", help="full: all weights.")] = MethodFlag.LORA
    rank: Annotated[int, typer.Option("--rank", help="Of LoRA.", min=1)] = 16
    alpha: Annotated[int, typer.Option("--alpha", help="LoRA's update is scaled by alpha / rank.")] = 32
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="The highest.")] = 3e-4
    epochs: Annotated[float, typer.Option("--epochs", help="Passes over the examples.")] = 3.0
    tokens_per_step: Annotated[int, typer.Option("--tokens-per-step", help="With a loss.", min=1)] = 4096
    length: Annotated[int, typer.Option("--length", help="Longer examples are left out.", min=16)] = 1024
    row_tokens: Annotated[
        int, typer.Option("--row-tokens", help="Short examples are packed into rows of so many.", min=16)
    ] = 512
    parallel_share: Annotated[
        float,
        typer.Option("--parallel-share", help="Share of examples with a block; 0: as in the data.", min=0),
    ] = 0.0
    patience: Annotated[
        int, typer.Option("--patience", help="Stop after so many looks that are no better; 0: never.", min=0)
    ] = 3
    precision: Annotated[PrecisionFlag, typer.Option("--precision", help="Of the forward pass.")] = (
        PrecisionFlag.AUTO
    )
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Compute activations twice to save memory.")
    ] = False
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto"
    threads: Annotated[int, typer.Option("--threads", help="0: PyTorch's choice.", min=0)] = 0
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.", min=0)] = 0

    def config(self) -> TrainConfig:
        """As train() takes it. Raises ValueError."""
        from aspd_local.train.config import TrainConfig

        return TrainConfig(
            layout=self.layout.value,
            rule=self.rule.value,
            branches=self.branches.value,
            method=self.method.value,
            rank=self.rank,
            alpha=self.alpha,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            tokens_per_step=self.tokens_per_step,
            length=self.length,
            row_tokens=self.row_tokens,
            parallel_share=self.parallel_share,
            patience=self.patience,
            precision=self.precision.value,
            checkpointing=self.checkpointing,
            device=self.device,
            threads=self.threads,
            seed=self.seed,
        )


@app.command()
@spread
def train(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.jsonl", help="From `aspd data build`.", exists=True, dir_okay=False),
    ],
    flags: TrainFlags,
) -> None:
    """Fine-tune a model on examples with parallel structure.

    `aspd train export DIR -o FILE.gguf` makes a model file of what was learnt.
    A run that was stopped goes on with --resume.
    """
    with one_line(flags.out, _GO_ON):
        config = flags.config()
        _need_extra()
        from aspd_local.train.verb import How, Watch, train

        base = _base(flags.base)
        with working() as tell:
            watch = Watch(reading=tell, started=_started, trained=_telling(tell))
            how = How(resume=flags.resume, force=flags.force, watch=watch)
            progress = train(data, base, flags.out, config, how)
    best = f", held out {progress.best:.3f} at step {progress.best_step}" if progress.best_step else ""
    typer.echo(f"{flags.out}: {progress.step} steps in {progress.seconds / 60:.0f} min{best}")


@dataclass(frozen=True, kw_only=True)
class ExportFlags:
    """What is written, and where."""

    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.gguf", help="The file to write.")]
    base: Annotated[
        str,
        typer.Option(
            "--base",
            metavar="MODEL",
            help="What was trained, as GGUF.",
            autocompletion=complete_model,
        ),
    ] = DEFAULT_BASE
    adapter: Annotated[bool, typer.Option("--adapter", help="Write the adapter alone.")] = False
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="TYPE", help="Of the weights.", show_default="`aspd optimize` chooses"
        ),
    ] = None
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="TYPE", help="Of the output head.", show_default="as the weights"),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False


@export_app.command()
@spread
def export(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|ADAPTER.gguf", help="Folder of a run, or its adapter.", exists=True)
    ],
    flags: ExportFlags,
) -> None:
    """Make a GGUF file of what was learnt: a whole model that forks by itself, or the adapter alone.

    From an adapter file and its base nothing of the extra "train" is needed.
    """
    out = flags.out
    with one_line(out, _GO_ON):
        from aspd_local.train.merging import Export, Types, export_adapter, export_model

        if out.exists() and not flags.force:
            raise ValueError(f"{out} exists; --force replaces it")
        if flags.head is not None and flags.weights is None:
            raise ValueError("--head needs --weights")
        if source.is_dir():
            _need_extra()
        elif flags.adapter:
            raise ValueError("--adapter takes the folder of a run")
        if flags.adapter:
            export_adapter(source, _base(flags.base), out)
        else:
            types = None
            if flags.weights is not None:
                types = Types(weights=flags.weights, head=flags.head or flags.weights)
            wanted = Export(source=source, base=_base(flags.base), out=out, types=types)
            with TemporaryDirectory(dir=out.parent, prefix=".aspd-") as folder, working() as tell:
                export_model(wanted, Path(folder), tell)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.0f} MB")


# --- what they share ------------------------------------------------------------------------------


def _base(name: str) -> Path:
    path = Path(name)
    if path.is_dir():
        return path
    return fetched(name)


def _need_extra() -> None:
    """Raises ValueError where the extra is not installed, before anything is read."""
    need_extra("training", _EXTRA, "train")


def _started(examples: Examples, markers: Markers, n_steps: int, n_numbers: int) -> None:
    parallel = sum(sample.parallel for sample in examples.train)
    tokens = sum(map(len, examples.train))
    note(
        f"{len(examples.train)} examples ({parallel} with a block, {tokens} tokens), "
        f"{len(examples.valid)} held out; markers {markers.how}; "
        f"{n_numbers / 1e6:.1f} million numbers are trained in {n_steps} steps"
    )
    for reason, count in examples.left_out.most_common():
        note(f"aspd: {count} left out: {reason}")


def _telling(tell: Callable[[str, int, int], None]) -> Callable[[Told], None]:
    """The bar's label stays the same; the figures go into a line for each twentieth of the run."""
    shown = 0

    def told(now: Told) -> None:
        nonlocal shown
        tell("training", now.step, now.n_steps)
        twentieth = 20 * now.step // now.n_steps
        if twentieth > shown:
            shown = twentieth
            valid = "" if now.valid is None else f", best held out {now.valid:.3f}"
            note(
                f"step {now.step} of {now.n_steps}: loss {now.loss:.3f}{valid}, "
                f"{now.tokens_per_s:.0f} tokens/s"
            )

    return told
