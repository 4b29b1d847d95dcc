"""How to answer: what the callers of a model may set, under OpenAI's and llama.cpp's names."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, JoinRule

Plan = Literal["auto", "always"]
DraftCheck = Literal["none", "lead", "cut", "exact"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one answer.

    Attributes:
        parallel: "auto" (the protocol that fits the model), "off" (serial), or the name of a protocol.
        plan: "auto": the model decides whether its answer has parts; "always": the engine opens the plan.
        max_tokens: most tokens sampled, all branches included; None: until the context is full.
        temperature: 0 takes the most likely token.
        top_k: 0 turns it off. top_p: 1 turns it off. min_p: 0 turns it off.
        repeat_penalty: 1 turns it off. presence_penalty, frequency_penalty: -2 to 2, 0 turns them off.
        dry_multiplier: 0 turns DRY off, which makes tokens less likely that would go on with a repetition of
            more than dry_allowed_length tokens, by dry_multiplier * dry_base ** (length - dry_allowed_length)
            logits. It looks back on dry_penalty_last_n tokens of a lane (-1: all); none of
            dry_sequence_breakers is part of a repetition. As llama.cpp's.
        xtc_probability: 0 turns XTC off, which now and then takes all tokens out that are at least as likely
            as xtc_threshold, but for the least of them. As llama.cpp's.
        logit_bias: added to the logits, by token id; -inf bans.
        seed: the same seed gives the same answer from the same cache; None: a random one. What the cache
            already holds decides which kernels run, and last bits with them.
        stop: strings that end the answer, in reading order; they are not part of its text.
        grammar: GBNF with a rule "root"; the answer is then written serially.
        json_schema: the answer is JSON of this schema, as llama.cpp's converter reads it; written serially.
        loop_guard: an answer that repeats itself for ever ends, with finish_reason "length" and finish_detail
            "loop": where its last 1,024 tokens, or 4,096 if no letter is among them, repeat a period of at
            most 128 tokens.
        logprobs: so many of the likeliest tokens, 0 to 20, are told beside each token of the text, in
            events.Text.logprobs; None: none is told.
        tools: functions that a chat's model may call, as in OpenAI's requests; its template tells it of
            them, and what it calls is part of the text. The answer is serial unless a protocol is named.
        max_branches: a plan with more is decoded serially.
        draft_check: what of a list's second and later items stands in the answer (protocol `intrinsic`). They
            are written beside the first, so they do not know the items before them. "none": all of it.
            "lead": up to the first item whose lead is implausible behind the items before it. "cut": up to
            where the text becomes implausible. "exact": up to the first token that the model would not have
            chosen itself: the answer is the serial one, but for last bits of wider steps. With a check, text
            of these items is told once it stands; behind what stands, the answer goes on serially.
        join_rule: instead of the protocol's own: how positions go on after a join (DESIGN, section 4). For
            comparisons: a model was made for one of them. An answer that would end with its block goes on.
    """

    parallel: str = "auto"
    plan: Plan = "auto"
    max_tokens: int | None = None
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*")
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    logit_bias: Mapping[int, float] | None = None
    seed: int | None = None
    stop: str | Sequence[str] = ()
    grammar: str | None = None
    json_schema: Mapping[str, Any] | None = None
    loop_guard: bool = True
    logprobs: int | None = None
    tools: Sequence[Mapping[str, Any]] | None = None
    max_branches: int = 16
    draft_check: DraftCheck = "none"
    join_rule: JoinRule | None = None

    def __post_init__(self) -> None:
        if self.plan not in ("auto", "always"):
            raise ValueError(f"plan must be 'auto' or 'always', not {self.plan!r}")
        if self.draft_check not in get_args(DraftCheck):
            raise ValueError(
                f"draft_check must be one of {', '.join(get_args(DraftCheck))}, not {self.draft_check!r}"
            )
        if self.join_rule is not None and self.join_rule not in JOIN_RULES:
            raise ValueError(f"join_rule must be one of {', '.join(JOIN_RULES)}, not {self.join_rule!r}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.max_tokens is not None and self.max_tokens > 2**31 - 1:
            raise ValueError("max_tokens must be below 2**31")
        if self.seed is not None and not 0 <= self.seed < 2**64:
            raise ValueError("seed must be between 0 and 2**64 - 1")
        if any(not text for text in self.stop_strings()):
            raise ValueError("a stop string is empty")
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema exclude each other")
        if self.logprobs is not None and not 0 <= self.logprobs <= 20:
            raise ValueError(f"logprobs must be between 0 and 20, not {self.logprobs}")

    def stop_strings(self) -> list[str]:
        """The stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop)

    def to_request(self, prompt: _core.Layout, protocol: _core.Protocol | None) -> _core.Request:
        """The engine's request. Raises ValueError for values that its types cannot hold."""
        request = _core.Request()
        request.prompt = prompt
        request.protocol = protocol
        request.sampling = self._sampling()
        request.max_tokens = -1 if self.max_tokens is None else self.max_tokens
        request.stop = self.stop_strings()
        request.loop_guard = self.loop_guard
        request.plan_always = self.plan == "always"
        request.max_branches = self.max_branches
        request.draft_check = _core.DraftCheck[self.draft_check.upper()]
        request.n_logprobs = -1 if self.logprobs is None else self.logprobs
        return request

    def _sampling(self) -> _core.SamplingOptions:
        sampling = _core.SamplingOptions()
        values: dict[str, object] = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "dry_multiplier": self.dry_multiplier,
            "dry_base": self.dry_base,
            "dry_allowed_length": self.dry_allowed_length,
            "dry_penalty_last_n": self.dry_penalty_last_n,
            "dry_sequence_breakers": list(self.dry_sequence_breakers),
            "xtc_probability": self.xtc_probability,
            "xtc_threshold": self.xtc_threshold,
            "logit_bias": list((self.logit_bias or {}).items()),
            "seed": secrets.randbits(64) if self.seed is None else self.seed,
            "grammar": self._gbnf(),
        }
        for name, value in values.items():
            try:
                setattr(sampling, name, value)
            except (TypeError, OverflowError) as error:
                raise ValueError(f"{name} cannot be {value!r}") from error
        return sampling

    def _gbnf(self) -> str:
        if self.json_schema is None:
            return self.grammar or ""
        try:
            text = json.dumps(self.json_schema, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"json_schema is not JSON: {error}") from error
        return _core.grammar_of_schema(text)
