"""From the body of a request to what a model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from aspd_local.chat import Message
from aspd_local.server.fields import Asked, Body, Extension, Sampling, without_effect
from aspd_local.server.problems import Problem
from aspd_local.server.schemas import ChatBody, ChatMessage, CompletionBody, NamedTool
from aspd_local.server.tools import CLOSE, Offered, Remembered, grammar, rules_of
from aspd_local.typing import AnswerOptions

# Options that a body has under the name of AnswerOptions. Choices and their time limit are the server's own.
_OWN = {"logit_bias", "seed", "n", "timeout"}
_PLAIN = frozenset(Sampling.model_fields) & frozenset(AnswerOptions.__annotations__) - _OWN
# Where options stand that have a place of their own, by a word of an error's message.
_FIELDS = {
    **{name: name for name in ("stop", "logit_bias", "seed", "logprobs", "messages")},
    **{name: f"aspd.{name}" for name in ("plan", "max_branches", "draft_check")},
    "protocol": "aspd.parallel",
    "parallel": "aspd.parallel",
}
_ANY_OBJECT = {"type": "object"}


def check_strict(body: Body) -> None:
    """Raises Problem (400) for the first field that would be accepted without effect."""
    for place in without_effect(body):
        raise unsupported(place)


def unsupported(place: str, why: str = "") -> Problem:
    """A field that is not served."""
    return Problem(400, f"{place} is not supported{why}", param=place, code="unsupported_parameter")


def chat_messages(body: ChatBody, remembered: Remembered) -> list[Message]:
    """The chat as a model takes it; calls of earlier turns are text again."""
    return [_message(message, remembered) for message in body.messages]


def _message(message: ChatMessage, remembered: Remembered) -> Message:
    text = joined(message.content if message.content is not None else message.refusal or "")
    for call in message.tool_calls or ():
        said = remembered.text(call.id, call.function.name, call.function.arguments)
        text += "\n" + said if text else said
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


class _Part(Protocol):
    @property
    def text(self) -> str: ...


def joined(content: str | Sequence[_Part]) -> str:
    """The text of a content, its parts joined as llama-server joins them."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content if part.text)


def chat_options(body: ChatBody) -> AnswerOptions:
    """Options of a chat's answer. Raises Problem (400)."""
    options = _options(body)
    if body.max_completion_tokens is not None:
        if body.max_tokens is not None:
            raise Problem(
                400, "max_tokens and max_completion_tokens exclude each other", param="max_completion_tokens"
            )
        options["max_tokens"] = body.max_completion_tokens
    if body.logprobs:
        options["logprobs"] = body.top_logprobs or 0
    elif body.top_logprobs:
        raise Problem(400, "top_logprobs needs logprobs", param="top_logprobs")
    form = body.response_format
    if form is not None and form.type != "text":
        if body.grammar is not None:
            raise Problem(400, "grammar and response_format exclude each other", param="grammar")
        if form.type == "json_object":
            options["json_schema"] = _ANY_OBJECT
        elif form.json_schema is None or form.json_schema.schema_ is None:
            raise Problem(400, "response_format has no json_schema.schema", param="response_format")
        else:
            options["json_schema"] = form.json_schema.schema_
    _offer_tools(body, options)
    return options


def chat_fields(body: ChatBody) -> dict[str, str]:
    """Where in the body that stands which an error is about, by a word of its message."""
    form = "response_format" if body.response_format is not None else "grammar"
    called = "tool_choice" if body.tool_choice not in (None, "none", "auto") else form
    return {"": "messages", "tools": "tools", **_FIELDS, "schema": form, "grammar": called}


def offered_tools(body: Asked) -> Offered:
    """Functions that the answer may call."""
    if not isinstance(body, ChatBody) or not body.tools or body.tool_choice == "none":
        return Offered()
    return Offered(tuple(tool.function.name for tool in body.tools), body.parallel_tool_calls is not False)


def _offer_tools(body: ChatBody, options: AnswerOptions) -> None:
    if not offered_tools(body).names:
        if body.tool_choice not in (None, "none", "auto"):
            raise Problem(400, "tool_choice needs tools", param="tool_choice")
        return
    assert body.tools is not None
    offered = [tool.function.model_dump(exclude_none=True) for tool in body.tools]
    options["tools"] = [{"type": "function", "function": function} for function in offered]
    if body.parallel_tool_calls is False:  # the first call ends the answer
        stop = options.get("stop") or ()
        options["stop"] = [*([stop] if isinstance(stop, str) else stop), CLOSE]
    form = options.get("json_schema")
    if body.tool_choice in (None, "auto"):
        if form is None:
            return
    elif "grammar" in options:
        raise Problem(400, "tool_choice and a grammar exclude each other", param="tool_choice")
    else:
        form = None  # of answers without calls
    if isinstance(body.tool_choice, NamedTool):
        wanted = body.tool_choice.function.name
        offered = [function for function in offered if function["name"] == wanted]
        if not offered:
            raise Problem(400, f"tool_choice: {wanted!r} is not among the tools", param="tool_choice")
    options.pop("json_schema", None)
    other = None if form is None else _form_rules(form)
    try:
        options["grammar"] = grammar(offered, other)
    except ValueError as error:
        raise Problem(400, f"tools: {error}", param="tools") from error


def _form_rules(schema: Mapping[str, Any]) -> str:
    try:
        return rules_of(schema)
    except ValueError as error:
        raise Problem(400, str(error), param="response_format") from error


def completion_options(body: CompletionBody) -> AnswerOptions:
    """Options of a plain prompt's continuation. Raises Problem (400)."""
    if body.echo and body.logprobs is not None:
        raise unsupported("logprobs", " together with echo")
    options = _options(body)
    if body.logprobs is not None:
        options["logprobs"] = body.logprobs
    return options


def completion_fields() -> dict[str, str]:
    """As chat_fields()."""
    return {"": "prompt", **_FIELDS, "token": "prompt", "prompt": "prompt", "grammar": "grammar"}


def completion_prompts(body: CompletionBody) -> list[str | list[int]]:
    """The prompts: texts, or token ids."""
    return prompts_of(body.prompt)


def prompts_of(said: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]) -> list[str | list[int]]:
    """A text, token ids, or a list of either, as a list."""
    if isinstance(said, str):
        return [said]
    if isinstance(said[0], int):
        return [[token for token in said if isinstance(token, int)]]
    return [each if isinstance(each, str) else list(each) for each in said if not isinstance(each, int)]


def _options(body: Sampling) -> AnswerOptions:
    own = body.aspd or Extension()
    plain = body.model_dump(include=set(_PLAIN), exclude_none=True)
    options = cast(AnswerOptions, {**plain, **own.model_dump(exclude={"stream"})})
    if body.top_p == 0:  # nothing but the likeliest
        options |= {"top_p": 1.0, "top_k": 1}
    if body.logit_bias:
        options["logit_bias"] = _biases(body.logit_bias)
    if body.seed is not None and body.seed != -1:  # of llama.cpp: a random one
        options["seed"] = body.seed % 2**64
    if body.stream_options is not None and not body.stream:
        raise Problem(400, "stream_options needs stream", param="stream_options")
    return options


def _biases(said: dict[str, float]) -> dict[int, float]:
    """By token id; -100 bans, as with OpenAI."""
    found: dict[int, float] = {}
    for key, bias in said.items():
        if not (key.isdecimal() and len(key) < 10):
            raise Problem(400, f"logit_bias: {key!r} is no token id", param="logit_bias")
        found[int(key)] = float("-inf") if bias <= -100 else bias
    return found


def nth_seed(options: AnswerOptions, number: int) -> AnswerOptions:
    """Options of the number-th choice, from 0: each has a seed of its own."""
    seed = options.get("seed")
    return options if seed is None or number == 0 else {**options, "seed": (seed + number) % 2**64}
