"""How to answer: what the callers of a model may set, under OpenAI's and llama.cpp's names."""

from __future__ import annotations

import difflib
import json
import math
import numbers
import operator
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal, cast, get_args

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, JoinRule

Plan = Literal["auto", "always"]
DraftCheck = Literal["none", "lead", "cut", "exact"]

_INTEGERS = {  # least and most
    "max_tokens": (1, 2**31 - 1),
    "top_k": (0, 2**31 - 1),
    "seed": (0, 2**64 - 1),
    "logprobs": (0, 20),
    "max_branches": (1, 64),
    "n": (1, 64),
    "dry_allowed_length": (0, 2**31 - 1),
    "dry_penalty_last_n": (-1, 2**31 - 1),
}
_NUMBERS = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0, 10),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "dry_multiplier": (0, 100),
    "dry_base": (1, 100),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "timeout": (0, math.inf),
}
_ABOVE_LEAST = ("top_p", "repeat_penalty", "timeout")
_WORDS: dict[str, Sequence[str]] = {
    "plan": get_args(Plan),
    "draft_check": get_args(DraftCheck),
    "join_rule": JOIN_RULES,
}
# What other programs call an option.
_KNOWN_AS = {
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_length": "max_tokens",
    "n_predict": "max_tokens",
    "num_predict": "max_tokens",
    "temp": "temperature",
    "repetition_penalty": "repeat_penalty",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "random_seed": "seed",
    "num_return_sequences": "n",
    "top_logprobs": "logprobs",
    "response_format": "json_schema",
    "functions": "tools",
    "protocol": "parallel",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one answer. None is the default of each.

    Raises:
        ValueError: an option is of a wrong type or out of its range. The text names it, what is allowed, and
            what was given.

    Attributes:
        parallel: "auto" (the protocol that fits the model, or that Model was given), "off" (serial), the name
            of a protocol, or the path of a protocol's file (docs/protocols.md).
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
        n: so many answers, under way at once; the others are in Answer.others. For chat(), generate() and
            achat(). With a seed, the next ones have the seeds after it.
        timeout: seconds after which a TimeoutError ends chat(), generate(), achat() and the streams. It is
            looked at between decode steps.
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
    n: int = 1
    timeout: float | None = None
    max_branches: int = 16
    draft_check: DraftCheck = "none"
    join_rule: JoinRule | None = None

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by their names. Raises ValueError: one is unknown, or as the class."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                meant = _KNOWN_AS.get(name) or (close[0] if close else None)
                hint = f"did you mean {meant}?" if meant else f"known are {', '.join(known)}"
                raise ValueError(f"there is no option {name!r}; {hint}")
        return cls(**cast("dict[str, Any]", given))

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) is None and field.default is not MISSING:
                object.__setattr__(self, field.name, field.default)
        for name, (low, high) in _INTEGERS.items():
            self._set(name, _integer(name, getattr(self, name), low, high))
        for name, (least, most) in _NUMBERS.items():
            self._set(name, _number(name, getattr(self, name), least, most))
        for name, words in _WORDS.items():
            if (word := getattr(self, name)) is not None and word not in words:
                raise _wrong(name, f"one of {', '.join(map(repr, words))}", word)
        for name in ("stop", "dry_sequence_breakers"):
            self._set(name, _strings(name, getattr(self, name)))
        self._check_kinds()
        if self.grammar is not None and self.json_schema is not None:
            raise ValueError("grammar and json_schema exclude each other")

    def _check_kinds(self) -> None:
        for name in ("parallel", "grammar"):
            if (text := getattr(self, name)) is not None and not isinstance(text, str):
                raise _wrong(name, "a string", text)
        if not isinstance(self.loop_guard, bool):
            raise _wrong("loop_guard", "True or False", self.loop_guard)
        if self.logit_bias is not None:
            self._set("logit_bias", _biases(self.logit_bias))
        if self.json_schema is not None and not isinstance(self.json_schema, Mapping):
            raise _wrong("json_schema", "a mapping, the schema itself", self.json_schema)
        if self.tools is not None and not _is_list_of(self.tools, Mapping):
            raise _wrong("tools", "a list of mappings, as in OpenAI's requests", self.tools)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def each(self) -> list[Options]:
        """The options of each of the n answers."""
        if self.n == 1:
            return [self]
        seeds = [None if self.seed is None else (self.seed + i) % 2**64 for i in range(self.n)]
        return [replace(self, n=1, seed=seed) for seed in seeds]

    def stop_strings(self) -> list[str]:
        """The stop strings as a list."""
        return _as_list(self.stop)

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
            "dry_sequence_breakers": _as_list(self.dry_sequence_breakers),
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


def _wrong(name: str, allowed: str, value: object) -> ValueError:
    shown = repr(value)
    return ValueError(f"{name} must be {allowed}, not {shown if len(shown) <= 80 else shown[:77] + '...'}")


def _is_list_of(values: object, kind: type) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return False
    return all(isinstance(value, kind) for value in values)


def _integer(name: str, value: object, low: int, high: int) -> int | None:
    if value is None:
        return None
    allowed = f"an integer between {low} and {high}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise _wrong(name, allowed, value)
    if not low <= (number := operator.index(value)) <= high:
        raise _wrong(name, allowed, value)
    return number


def _number(name: str, value: object, low: float, high: float) -> float | None:
    if value is None:
        return None
    if high == math.inf:
        allowed = f"a number above {low}"
    else:
        allowed = f"a number {'above' if name in _ABOVE_LEAST else 'from'} {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _wrong(name, allowed, value)
    try:
        number = float(value)
    except OverflowError:
        raise _wrong(name, allowed, value) from None
    if not low <= number <= high or (name in _ABOVE_LEAST and number == low):
        raise _wrong(name, allowed, value)
    return number


def _strings(name: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, str) and value:
        return value
    if _is_list_of(value, str) and all(texts := tuple(cast("Sequence[str]", value))):
        return texts
    raise _wrong(name, "a string or a list of strings, none of them empty", value)


def _as_list(strings: str | Sequence[str]) -> list[str]:
    return [strings] if isinstance(strings, str) else list(strings)


def _biases(value: object) -> dict[int, float]:
    allowed = "a mapping of token ids to numbers"
    if not isinstance(value, Mapping):
        raise _wrong("logit_bias", allowed, value)
    for token, bias in value.items():
        known = hasattr(token, "__index__") and not isinstance(token, bool)
        if not known or isinstance(bias, bool) or not isinstance(bias, numbers.Real):
            raise _wrong("logit_bias", allowed, {token: bias})
    return {operator.index(token): float(bias) for token, bias in value.items()}
