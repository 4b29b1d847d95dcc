"""Names and types of keyword arguments, for editors and type checkers. Meanings: options.Options, and
EngineOptions in the core.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from aspd_local.layout import JoinRule


class AnswerOptions(TypedDict, total=False):
    """Keyword arguments of every way to ask; see aspd_local.options.Options."""

    parallel: str | None
    plan: Literal["auto", "always"] | None
    max_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repeat_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    dry_multiplier: float | None
    dry_base: float | None
    dry_allowed_length: int | None
    dry_penalty_last_n: int | None
    dry_sequence_breakers: Sequence[str] | None
    xtc_probability: float | None
    xtc_threshold: float | None
    logit_bias: Mapping[int, float] | None
    seed: int | None
    stop: str | Sequence[str] | None
    grammar: str | None
    json_schema: Mapping[str, Any] | None
    loop_guard: bool | None
    logprobs: int | None
    tools: Sequence[Mapping[str, Any]] | None
    n: int | None
    timeout: float | None
    max_branches: int | None
    draft_check: Literal["none", "lead", "cut", "exact"] | None
    join_rule: JoinRule | None


class EngineSettings(TypedDict, total=False):
    """Keyword arguments of Model.

    n_ctx: cells of the KV cache for all answers together; 0: what the model was trained with, at most 8192.
    n_lanes: most tokens decoded side by side in one step (16).
    n_requests: most answers under way at once; more wait (4).
    n_retained: finished answers kept in the cache for a next turn (4).
    n_batch: most prompt tokens in one step (512).
    n_threads, n_threads_batch: threads of steps of one lane and of more; 0: physical cores.
    flash_attn: "auto" (off on a CPU for heads below 128 that have no kernel of ours), "on", "off".
    cache_type: "f32", "f16", "q8_0".
    n_outputs_max: most rows of logits in a step of engine.score() and logits(); 0: as few as decoding needs.
    self_test: prove at the start that branches can be joined (True).
    repack: "on": weights are laid out anew for this processor, in memory of their own; "off"; "auto": unless
        steps were measured to be faster without.
    profile: "auto": steps and forks are scheduled by what steps were measured to cost on this machine
        (aspd_local.profile), which takes some seconds when a model is loaded for the first time; "off": all
        lanes run in every step, every sound plan is forked.
    instructions: "kept": the cells of a protocol's instructions, with which every question under it begins,
        are kept in the user's cache (some ten to a hundred MB a file, eight files at most), so that the next
        process need not read them; "read": they are read by every process.
    protocol: what parallel="auto" uses, in place of the protocol that fits the model: a protocol's name, or
        the path of a file of your own (docs/protocols.md).
    """

    n_ctx: int
    n_lanes: int
    n_requests: int
    n_retained: int
    n_batch: int
    n_threads: int
    n_threads_batch: int
    flash_attn: Literal["auto", "on", "off"]
    cache_type: Literal["f32", "f16", "q8_0"]
    n_outputs_max: int
    self_test: bool
    repack: Literal["auto", "on", "off"]
    profile: Literal["auto", "off"]
    instructions: Literal["kept", "read"]
    protocol: str | os.PathLike[str]


class EmbedderSettings(TypedDict, total=False):
    """Keyword arguments of Embedder.

    n_ctx: most tokens of one text; 0: what the model was trained with, at most 2,048.
    n_threads: 0: physical cores.
    """

    n_ctx: int
    n_threads: int
