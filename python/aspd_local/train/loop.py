"""The training loop: rows, losses, the optimiser, looks at held-out examples, checkpoints.

Source: arXiv 2508.08895, section 3; LoRA: arXiv 2106.09685.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from aspd_local.errors import ModelError
from aspd_local.train.checkpoint import Folder
from aspd_local.train.config import TrainConfig
from aspd_local.train.examples import Examples
from aspd_local.train.losses import Losses
from aspd_local.train.network import Device, log_likelihoods, trained
from aspd_local.train.packing import Row, pack, row_of, steps_of
from aspd_local.train.samples import Sample


@dataclass(frozen=True, kw_only=True)
class Told:
    """How far a run is: for a progress bar. loss: nats a learnt token, mean of the last steps."""

    step: int
    n_steps: int
    loss: float
    valid: float | None
    tokens_per_s: float


@dataclass(kw_only=True)
class Progress:
    """What a checkpoint holds besides weights."""

    step: int = 0  # done
    best: float = math.inf
    best_step: int = 0
    worse: int = 0  # looks since the best
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Trains a network that add_adapter() has prepared."""

    def __init__(
        self, model: Any, examples: Examples, config: TrainConfig, device: Device, folder: Folder
    ) -> None:
        self._model = model.to(device.name)
        self._examples = examples
        self._config = config
        self._device = device
        self._folder = folder
        self._progress = Progress()
        self._parameters = trained(model)
        self._optimiser = torch.optim.AdamW(self._groups(), lr=config.learning_rate, betas=(0.9, 0.99))
        self._plan = self._planned()
        if config.checkpointing:
            newer = getattr(model, "activation_checkpointing_enable", None)  # transformers 5.20
            (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})

    # --- what will be done -----------------------------------------------------------------------------

    def _groups(self) -> list[dict[str, Any]]:
        config = self._config
        rows = [p for name, p in self._parameters.items() if name.endswith(".rows")]
        others = [p for name, p in self._parameters.items() if not name.endswith(".rows")]
        return [
            {"params": others, "weight_decay": config.weight_decay, "rate": 1.0},
            {"params": rows, "weight_decay": 0.0, "rate": config.marker_rate},
        ]

    def _planned(self) -> list[list[list[Sample]]]:
        """The rows of every step: [n_steps][n_rows]. The same for the same seed."""
        config = self._config
        steps: list[list[list[Sample]]] = []
        for epoch in range(math.ceil(config.epochs)):
            rows = pack(self._examples.train, config.row_tokens, config.seed + 1000 * epoch)
            share = min(1.0, config.epochs - epoch)
            steps += steps_of(rows[: max(1, round(len(rows) * share))], config.tokens_per_step)
        return steps

    @property
    def n_steps(self) -> int:
        """Steps of the whole run."""
        return len(self._plan)

    def rate(self, step: int) -> float:
        """The share of the learning rate at a step, from 0: a rise, then half a cosine down to a tenth."""
        rise = max(1, round(self._config.warmup * self.n_steps))
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, self.n_steps - rise)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * done))

    # --- doing it --------------------------------------------------------------------------------------

    def dry_run(self) -> None:
        """The longest row there and back, before hours are spent.

        Raises:
            ModelError: it does not fit into memory, or its loss is no number.
        """
        rows = [row for step in self._plan for row in step]
        longest = max(rows, key=lambda row: sum(map(len, row)))
        self._model.train()
        try:
            loss = -self._scores(self._row(longest)).mean()
            torch.autograd.backward(loss)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ModelError(self._too_large(longest)) from error
        except RuntimeError as error:
            if "memory" in str(error) or "allocate" in str(error):
                raise ModelError(self._too_large(longest)) from error
            raise
        self._optimiser.zero_grad(set_to_none=True)
        if not math.isfinite(float(loss.detach())):
            raise ModelError(
                "the loss of the longest example is no number: the base is damaged, or not this model"
            )

    def _too_large(self, row: Sequence[Sample]) -> str:
        n = sum(map(len, row))
        return (
            f"a row of {n} tokens does not fit into memory: lower --length or --row-tokens, "
            "or turn --checkpointing on"
        )

    def resume(self) -> None:
        """Goes on from the state in the folder. Raises DataError."""
        state = self._folder.load_state()
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state["weights"][name].to(parameter.device))
        self._optimiser.load_state_dict(state["optimiser"])
        self._progress = Progress(**state["progress"])

    def run(self, tell: Callable[[Told], None] | None = None, *, save_every_s: float = 120.0) -> Progress:
        """Trains to the end, or until held-out examples have not got better for a while."""
        started = saved = time.monotonic()
        before = self._progress.seconds
        recent: list[float] = []
        n_tokens, progress = 0, self._progress
        while progress.step < self.n_steps and not self._is_over():
            if progress.step == 0:
                self._look()
            loss, n = self._step(self._plan[progress.step], progress.step)
            recent = [*recent[-19:], loss]
            n_tokens += n
            progress.step += 1
            now = time.monotonic()
            progress.seconds = before + now - started
            progress.history.append(
                {"step": progress.step, "loss": loss, "tokens": n, "seconds": progress.seconds}
            )
            if self._is_time_to_look():
                self._look()
            if now - saved > save_every_s or progress.step == self.n_steps:
                self._save()
                saved = time.monotonic()
            if tell is not None:
                speed = n_tokens / max(1e-9, now - started)
                told = Told(
                    step=progress.step,
                    n_steps=self.n_steps,
                    loss=sum(recent) / len(recent),
                    valid=None if math.isinf(progress.best) else progress.best,
                    tokens_per_s=speed,
                )
                tell(told)
        self._save()
        return progress

    def _is_over(self) -> bool:
        return 0 < self._config.patience <= self._progress.worse

    def _is_time_to_look(self) -> bool:
        step = self._progress.step
        every = self._config.eval_every or max(1, round(self.n_steps / max(1.0, self._config.epochs)))
        return step % every == 0 or step == self.n_steps

    def _step(self, rows: Sequence[list[Sample]], step: int) -> tuple[float, int]:
        """Nats a learnt token, and tokens read."""
        self._model.train()
        torch.manual_seed(self._config.seed * 1_000_003 + step)
        made = [self._row(row) for row in rows]
        n_learnt = sum(len(row.targets) for row in made)
        total = 0.0
        for row in made:
            loss = -self._scores(row).sum() / n_learnt
            torch.autograd.backward(loss)
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(list(self._parameters.values()), 1.0)
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * group["rate"] * self.rate(step)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return total, sum(len(row) for row in made)

    def _row(self, samples: Sequence[Sample]) -> Row:
        return row_of(samples, rule=self._config.rule, branches=self._config.branches)

    def _scores(self, row: Row) -> torch.Tensor:
        return log_likelihoods(self._model, row, self._device)

    def _look(self) -> None:
        """Held-out examples: the best weights are kept."""
        progress = self._progress
        if not self._examples.valid:
            self._folder.save_weights(self._parameters)
            return
        losses = evaluate(self._model, self._examples.valid, self._config, self._device)
        entry = {
            "step": progress.step,
            "valid": losses.learnt,
            "per_token": losses.per_token,
            **losses.apart(),
        }
        progress.history.append(entry)
        if losses.learnt < progress.best:
            progress.best, progress.best_step, progress.worse = losses.learnt, progress.step, 0
            self._folder.save_weights(self._parameters)
        else:
            progress.worse += 1

    def _save(self) -> None:
        progress = self._progress
        self._folder.save_history(progress.history)
        self._folder.save_state(
            {
                "weights": {name: p.detach().cpu() for name, p in self._parameters.items()},
                "optimiser": self._optimiser.state_dict(),
                "progress": dict(vars(progress)),
            }
        )


def evaluate(model: Any, samples: Sequence[Sample], config: TrainConfig, device: Device) -> Losses:
    """Losses of samples, one row of packed ones at a time."""
    model.eval()
    losses = Losses()
    with torch.no_grad():
        for packed in pack(samples, config.row_tokens, 0):
            row = row_of(packed, rule=config.rule, branches=config.branches)
            scores: np.ndarray[Any, np.dtype[np.float32]] = log_likelihoods(model, row, device).cpu().numpy()
            losses.add(row, scores, [sample.n_plain for sample in packed])
    return losses
