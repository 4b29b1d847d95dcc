"""The base model in PyTorch, with the markers' rows and LoRA put in. The only module that loads weights."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aspd_local.errors import ModelError
from aspd_local.train.config import TrainConfig
from aspd_local.train.marker_rows import EmbeddingWithMarkers, HeadWithMarkers, log_likelihoods_of
from aspd_local.train.markers import Markers
from aspd_local.train.packing import Row

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where and in which numbers is computed."""

    name: str
    bf16: bool


def choose_device(config: TrainConfig) -> Device:
    """The device that the configuration asks for. Raises ValueError where it is not there."""
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name}: {str(error).splitlines()[0]}") from error
    fast = name != "cpu" or bool(torch.cpu._is_avx512_bf16_supported())
    return Device(name=name, bf16=config.precision == "bf16" or (config.precision == "auto" and fast))


def load_base(base: Path) -> Any:
    """The base model in float32 on the CPU. base: a GGUF file or a Hugging Face folder. Raises ModelError."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers import AutoModelForCausalLM

    place = {"gguf_file": base.name} if base.is_file() else {}
    folder = base.parent if base.is_file() else base
    try:
        with redirect_stderr(StringIO()), warnings.catch_warnings():  # bars and advice
            warnings.simplefilter("ignore")
            return AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, attn_implementation="sdpa", local_files_only=True, **place
            )
    except (OSError, ValueError, KeyError, ImportError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"transformers cannot load it for training: {reason}", str(base)) from error


def add_markers(model: Any, markers: Markers, seed: int) -> None:
    """Gives the markers' tokens rows of the embedding to begin with: the mean of all rows, a little apart.

    What a token that was taken over meant before is of no use, and rows that were never trained are far off.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    needed = max(rows, max(markers.ids.values()) + 1)
    if needed > rows:
        model.resize_token_embeddings(needed, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    tables = {
        id(table.weight): table.weight
        for table in (model.get_input_embeddings(), model.get_output_embeddings())
    }
    with torch.no_grad():
        for weight in tables.values():
            mean, spread = weight[:rows].mean(0), weight[:rows].std(0)
            for token in sorted(markers.ids.values()):
                weight[token] = mean + 0.1 * spread * torch.randn(mean.shape, generator=generator)


def add_adapter(model: Any, config: TrainConfig, markers: Markers) -> Any:
    """The model with what is trained: LoRA beside every matrix, the markers' rows; for "full" all weights."""
    if config.method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    names = {
        name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)
    }
    targets = [name for name in TARGETS if name in names]
    if not targets:
        raise ModelError(f"no matrix of this architecture has one of the names {', '.join(TARGETS)}")
    split_markers(model, markers)
    torch.manual_seed(config.seed)
    lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=targets, task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft asks for what transformers is about to drop
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(model, lora)
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_(parameter.requires_grad or name.endswith(".rows"))
    return adapted


def split_markers(model: Any, markers: Markers) -> None:
    """Makes the markers' rows parameters of their own; one for both ends where the model has one table."""
    ids = sorted(markers.ids.values())
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    rows = nn.Parameter(table.weight[ids].detach().clone())
    other = rows if head.weight is table.weight else nn.Parameter(head.weight[ids].detach().clone())
    model.set_input_embeddings(EmbeddingWithMarkers(table, ids, rows))
    model.set_output_embeddings(HeadWithMarkers(head, ids, other))


def trained(model: nn.Module) -> Mapping[str, nn.Parameter]:
    """The parameters that are trained, by name, each once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def log_likelihoods(model: Any, row: Row, device: Device) -> Tensor:
    """Natural logarithm of the probability of each learnt token of a row, [n_learnt], float32."""

    def on_device(array: Any) -> Tensor:
        return torch.from_numpy(array).to(device.name)

    mask = torch.zeros(row.mask.shape, dtype=torch.float32)
    mask.masked_fill_(torch.from_numpy(~row.mask), torch.finfo(torch.float32).min)
    number = torch.bfloat16 if device.bf16 else torch.float32
    with torch.autocast(device.name, dtype=torch.bfloat16, enabled=device.bf16):
        logits = model(
            input_ids=on_device(row.token_ids)[None],
            position_ids=on_device(row.positions)[None],
            attention_mask=mask.to(device.name, number)[None, None],
            logits_to_keep=on_device(row.sources),
            use_cache=False,
        ).logits[0]
    return log_likelihoods_of(logits, on_device(row.targets))
