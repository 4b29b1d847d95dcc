"""What a training run is asked to do. Plain data; says nothing of how."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Method = Literal["lora", "full"]
LayoutName = Literal["aspd", "serial"]
TrainRule = Literal["sum", "longest"]
Precision = Literal["auto", "bf16", "f32"]
Branches = Literal["isolated", "visible"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run.

    Attributes:
        layout: "aspd", or "serial": the same answers as ordinary text, for comparison.
        rule: how positions go on after a join.
        branches: "isolated", or "visible": a branch sees its earlier siblings (an ablation; the engine never
            decodes so).
        method: "lora", or "full": all weights.
        rank, alpha: of LoRA; its update is scaled by alpha / rank.
        learning_rate: the highest; it rises over the first `warmup` of the steps and falls to a tenth by a
            cosine.
        marker_rate: learning rate of the markers' embeddings, times learning_rate.
        weight_decay: of matrices.
        epochs: passes over the training examples.
        tokens_per_step: at least so many tokens with a loss make one step of the optimiser.
        length: most tokens of an example; longer ones are left out and counted.
        row_tokens: short examples are packed into rows of so many: attention costs its square.
        eval_every: steps between two looks at the held-out examples; 0: once each pass.
        patience: stop after so many looks without a better loss; 0: never.
        eval_examples: most held-out examples looked at.
        parallel_share: share of examples with a block, between 0 and 1; serial ones are left out to reach
            it. 0: as the data has them.
        precision: numbers of the forward pass; "auto": bf16 where the processor computes with it.
        checkpointing: compute activations twice to save memory.
        seed: of everything that is drawn.
        threads: of PyTorch; 0: its choice.
        device: "auto", "cpu", "cuda", "mps".
    """

    layout: LayoutName = "aspd"
    rule: TrainRule = "sum"
    branches: Branches = "isolated"
    method: Method = "lora"
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 3e-4
    marker_rate: float = 3.0
    weight_decay: float = 0.01
    warmup: float = 0.05
    epochs: float = 3.0
    tokens_per_step: int = 4096
    length: int = 1024
    row_tokens: int = 512
    eval_every: int = 0
    patience: int = 3
    eval_examples: int = 100
    parallel_share: float = 0.0
    precision: Precision = "auto"
    checkpointing: bool = False
    seed: int = 0
    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field."""
        choices = {
            "layout": LayoutName,
            "rule": TrainRule,
            "branches": Branches,
            "method": Method,
            "precision": Precision,
        }
        for name, literal in choices.items():
            if getattr(self, name) not in get_args(literal):
                raise ValueError(f"{name} must be one of {', '.join(get_args(literal))}")
        for name in (
            "rank",
            "alpha",
            "learning_rate",
            "marker_rate",
            "epochs",
            "tokens_per_step",
            "length",
            "row_tokens",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("weight_decay", "eval_every", "patience", "seed", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.eval_examples < 1:
            raise ValueError("eval_examples must be at least 1")
        for name in ("warmup", "parallel_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)
