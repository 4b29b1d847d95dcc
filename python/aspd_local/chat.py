"""Messages become token ids: checked, rendered with the model's chat template, tokenised.

What came from a message is never read as special tokens (DESIGN, section 7). Answers that the cache still
holds go back into the prompt as they were decoded, with their branches. Knows the core's model and template
only by the few members it uses; knows neither engines nor protocols.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypedDict, get_args

from aspd_local.errors import ModelError
from aspd_local.layout import Segment, Trunk

if TYPE_CHECKING:
    from aspd_local import _core

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)


class Message(TypedDict):
    """One turn of a chat. role: system, user, assistant or tool."""

    role: str
    content: str


class MessageInParts(TypedDict):
    """A turn whose content is a list of parts, as in OpenAI's requests: {"type": "text", "text": ...}."""

    role: str
    content: Sequence[Mapping[str, str]]


class PromptPart(NamedTuple):
    """A piece of a rendered prompt. is_input: it came from a message, not from the template."""

    text: str
    is_input: bool


class Vocabulary(Protocol):
    """What this module uses of `_core.Model`."""

    @property
    def bos(self) -> int: ...
    @property
    def eos(self) -> int: ...
    @property
    def add_bos(self) -> bool: ...
    @property
    def chat_template(self) -> str: ...
    def tokenize(self, text: str, parse_special: bool) -> list[int]: ...
    def piece(self, token: int, special: bool = False) -> bytes: ...
    def is_control(self, token: int) -> bool: ...


class Template(Protocol):
    """What this module uses of `_core.ChatTemplate`."""

    def render(
        self, messages_json: str, add_generation_prompt: bool = True, extra_json: str = "{}"
    ) -> list[tuple[str, bool]]: ...


def normalise(messages: str | Sequence[Message | MessageInParts]) -> list[Message]:
    """A question or a chat as a list of messages of its own. Parts of a content are joined by newlines.

    Raises:
        ValueError: no messages; an unknown role; a content that is no text; a missing or unknown field.
    """
    if isinstance(messages, str):
        return normalise([{"role": "user", "content": messages}])
    if not isinstance(messages, Sequence):
        raise ValueError(f"messages must be a string or a list, not {type(messages).__name__}")
    if not messages:
        raise ValueError("there are no messages")
    return [_checked(message, f"messages[{i}]") for i, message in enumerate(messages)]


def _checked(message: object, place: str) -> Message:
    if not isinstance(message, Mapping):
        raise ValueError(f"{place} must be a mapping with role and content, not {type(message).__name__}")
    for name in ("role", "content"):
        if name not in message:
            raise ValueError(f"{place} has no {name}")
    if unknown := sorted(str(name) for name in message if name not in ("role", "content")):
        raise ValueError(f"{place} has unknown fields: {', '.join(unknown)}")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise ValueError(f"{place} has the unknown role {role!r}; known are {', '.join(ROLES)}")
    if isinstance(content, list | tuple):
        content = "\n".join(_part(part, f"{place}.content[{i}]") for i, part in enumerate(content))
    if not isinstance(content, str):
        raise ValueError(f"{place} has a content that is {type(content).__name__}, not text")
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{place} has half of a surrogate pair at character {error.start}") from None
    return {"role": role, "content": content}


def _part(part: object, place: str) -> str:
    if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise ValueError(f'{place} must be {{"type": "text", "text": ...}}; this package reads text alone')
    return str(part["text"])


class TemplateWithTools:
    """A chat template that is given functions which the model may call."""

    def __init__(self, template: Template, tools: Sequence[Mapping[str, Any]]) -> None:
        """tools: as in OpenAI's requests.

        Raises:
            ValueError: they are no JSON, or the template has no place for them.
            ModelError: as render_prompt().
        """
        self._template = template
        try:
            self._extra = json.dumps({"tools": list(tools)}, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"tools are not JSON: {error}") from error
        nonce = _nonce()
        probe = {"type": "function", "function": {"name": nonce, "description": "", "parameters": {}}}
        said = json.dumps({"tools": [probe]})
        question = json.dumps([{"role": "user", "content": "x"}])
        parts = template.render(question, True, said)
        if nonce not in "".join(text for text, _ in parts):
            raise ValueError("the model's chat template has no place for tools")

    def render(
        self, messages_json: str, add_generation_prompt: bool = True, extra_json: str = "{}"
    ) -> list[tuple[str, bool]]:
        """As the template, with the tools among its variables. extra_json: not used beside them."""
        del extra_json
        return self._template.render(messages_json, add_generation_prompt, self._extra)


# --- what is said ---------------------------------------------------------------------------------


def with_protocol(
    messages: Sequence[Message], system_text: str, examples: Sequence[tuple[str, str]], template: Template
) -> list[Message]:
    """The messages with a protocol's instructions before them.

    Args:
        system_text: goes before the user's own system text.
        examples: turns that show the protocol, [n_examples] of (user, assistant).
        template: decides whether the system text is a message or the beginning of the first user message.
    """
    rest = list(messages)
    if rest and rest[0]["role"] == "system":
        system_text = f"{system_text}\n\n{rest.pop(0)['content']}"
    turns: list[Message] = [{"role": "system", "content": system_text}]
    for user, assistant in examples:
        turns += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    return fit_system(template, turns + rest)


def fit_system(template: Template, messages: Sequence[Message]) -> list[Message]:
    """The messages as they are or, for a template without a system role, with the system text put before the
    first user message.
    """
    fitted = list(messages)
    if not fitted or fitted[0]["role"] != "system" or _takes_system(template):
        return fitted
    system = fitted.pop(0)
    for i, message in enumerate(fitted):
        if message["role"] == "user":
            fitted[i] = {"role": "user", "content": f"{system['content']}\n\n{message['content']}"}
            return fitted
    return list(messages)


def _takes_system(template: Template) -> bool:
    """Some templates raise an exception for a system message, some drop it."""
    nonce = _nonce()
    try:
        parts = _render(template, [{"role": "system", "content": nonce}, {"role": "user", "content": "x"}])
    except ModelError:
        return False
    return nonce in _text(parts)


# --- how it is written ----------------------------------------------------------------------------


def compile_template(model: Vocabulary) -> _core.ChatTemplate:
    """The model's chat template, ready to render. Raises ModelError when it does not parse."""
    from aspd_local import _core

    def spelling(token: int) -> str:
        return _piece(model, token) if token >= 0 else ""

    return _core.ChatTemplate(model.chat_template, spelling(model.bos), spelling(model.eos))


def render_prompt(
    template: Template, messages: Sequence[Message], add_generation_prompt: bool = True
) -> list[PromptPart]:
    """The prompt of a chat, in parts that alternate between template and input.

    Args:
        add_generation_prompt: end with what opens the assistant's turn.

    Raises:
        ModelError: the template raises an exception or exceeds its limits.
        ValueError: the messages are too long to render.
    """
    return _render(template, fit_system(template, messages), add_generation_prompt)


def _render(
    template: Template, messages: Sequence[Message], add_generation_prompt: bool = True
) -> list[PromptPart]:
    pairs = template.render(json.dumps(messages, ensure_ascii=False), add_generation_prompt)
    return [PromptPart(text, is_input) for text, is_input in pairs]


def _text(parts: Sequence[PromptPart]) -> str:
    return "".join(part.text for part in parts)


# --- its tokens -----------------------------------------------------------------------------------


def tokenize_parts(model: Vocabulary, parts: Sequence[PromptPart], *, at_start: bool = True) -> list[int]:
    """Token ids of a prompt, [n_tokens]. CONTROL tokens come from template parts alone.

    Plain text of the template is tokenised together with the input beside it, without special tokens; so an
    ordinary prompt gets the ids that llama.cpp gives to the whole of it.

    Args:
        at_start: the prompt begins here: add the BOS that the vocabulary asks for, unless it is there.
    """
    ids: list[int] = []
    plain = ""
    for part in parts:
        if part.is_input:
            plain += part.text
            continue
        before, special_ids, after = _around_specials(model, part.text)
        plain += before
        if special_ids:
            ids += model.tokenize(plain, False)
            ids += special_ids
            plain = after
    ids += model.tokenize(plain, False)
    if at_start and model.add_bos and model.bos >= 0 and ids[:1] != [model.bos]:
        ids.insert(0, model.bos)
    return ids


def _around_specials(model: Vocabulary, text: str) -> tuple[str, list[int], str]:
    """A template's text as plain text, token ids from the first to the last CONTROL token, plain text."""
    ids = model.tokenize(text, True)
    specials = [token for token in ids if model.is_control(token)]
    if not specials:
        return text, [], ""
    last = _piece(model, specials[-1])
    begin, end = text.find(_piece(model, specials[0])), text.rfind(last) + len(last)
    before, middle, after = text[:begin], text[begin:end], text[end:]
    middle_ids = model.tokenize(middle, True)
    # Not where a token strips the white space beside it, or has another spelling.
    if 0 <= begin < end and model.tokenize(before, False) + middle_ids + model.tokenize(after, False) == ids:
        return before, middle_ids, after
    return "", ids, ""


def _piece(model: Vocabulary, token: int) -> str:
    return model.piece(token, True).decode("utf-8", errors="replace")


# --- answers that are still in the cache ----------------------------------------------------------


def prompt_segments(
    model: Vocabulary,
    template: Template,
    messages: Sequence[Message],
    recall: Callable[[str], Sequence[Segment] | None],
    check: Callable[[str], None] | None = None,
) -> list[Segment]:
    """The prompt of a chat as trunks and blocks: known answers as they were decoded, the rest as text.

    Args:
        recall: segments of an answer by its text; None: not known.
        check: sees each text before it is tokenised, and may raise.

    Raises: as render_prompt(), and what `check` raises.
    """
    known = {
        i: segments
        for i, message in enumerate(messages)
        if message["role"] == "assistant" and (segments := recall(message["content"])) is not None
    }
    pieces = render_around(template, messages, list(known)) if known else None
    if pieces is None:
        known, pieces = {}, [render_prompt(template, messages)]
    if check is not None:
        for piece in pieces:
            check(_text(piece))
    prompt: list[Segment] = [Trunk(tokenize_parts(model, pieces[0]))]
    for segments, piece in zip(known.values(), pieces[1:], strict=True):
        prompt += [*segments, Trunk(tokenize_parts(model, piece, at_start=False))]
    return prompt


def render_around(
    template: Template, messages: Sequence[Message], answers: Sequence[int]
) -> list[list[PromptPart]] | None:
    """The prompt with some answers left out, in [n_answers + 1] pieces: before, between and after them.

    None where the template drops an answer, or changes more of it than the white space at its ends.

    Args:
        answers: indices of messages, ascending.

    Raises: as render_prompt().
    """
    plain = _text(render_prompt(template, messages))
    nonces = {i: _nonce() for i in answers}
    marked: list[Message] = [
        {"role": message["role"], "content": nonces.get(i, message["content"])}
        for i, message in enumerate(messages)
    ]
    pieces = split_at(render_prompt(template, marked), list(nonces.values()))
    if pieces is None or not _puts_back(plain, pieces, [messages[i]["content"] for i in answers]):
        return None
    return pieces


def split_at(parts: Sequence[PromptPart], nonces: Sequence[str]) -> list[list[PromptPart]] | None:
    """The parts before, between and after the nonces, in [n_nonces + 1] pieces.

    None unless each nonce is found exactly once, in this order, and in input.
    """
    pieces: list[list[PromptPart]] = [[]]
    left = list(nonces)
    for part in parts:
        rest = part.text
        while part.is_input and left and left[0] in rest:
            before, rest = rest.split(left.pop(0), 1)
            _append(pieces[-1], before, part.is_input)
            pieces.append([])
        _append(pieces[-1], rest, part.is_input)
    remains = "".join(_text(piece) for piece in pieces)
    return None if left or any(nonce in remains for nonce in nonces) else pieces


def _append(piece: list[PromptPart], text: str, is_input: bool) -> None:
    if text:
        piece.append(PromptPart(text, is_input))


def _puts_back(plain: str, pieces: Sequence[Sequence[PromptPart]], answers: Sequence[str]) -> bool:
    """Whether the prompt is these pieces with the answers, perhaps stripped, between them."""
    between = [_text(piece) for piece in pieces]
    if not plain.startswith(between[0]):
        return False
    at = len(between[0])
    for answer, after in zip(answers, between[1:], strict=True):
        forms = (answer, answer.strip(), answer.lstrip(), answer.rstrip())
        found = next((form for form in forms if plain.startswith(form + after, at)), None)
        if found is None:
            return False
        at += len(found) + len(after)
    return at == len(plain)


def _nonce() -> str:
    return "aspd" + secrets.token_hex(16)
