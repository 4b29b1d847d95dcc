"""`aspd data generate`: ordinary serial answers of a local model, many at once in one engine.

Prompts are answered in groups. A group starts from an empty cache and is written when all of it is there, so
a run that was killed goes on at a group and ends with the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aspd_local import chat
from aspd_local.chat import Message
from aspd_local.data.checkpoint import Checkpoint, Target, check_apart
from aspd_local.errors import ContextFullError, DataError
from aspd_local.events import Done
from aspd_local.sources.digest import sha256_of

if TYPE_CHECKING:
    from aspd_local.events import Event
    from aspd_local.model import Model
    from aspd_local.results import Answer

Progress: TypeAlias = Callable[[int, int], None]  # bytes of the prompts that are done, all bytes


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides about the answers.

    Attributes:
        model: as the user named it.
        max_tokens: of each answer. temperature, top_p: of the sampling.
        seed: with the prompt it gives the seed of an answer.
        group: prompts that are answered together.
    """

    model: str
    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.9
    seed: int = 0
    group: int = 32

    def __post_init__(self) -> None:
        if self.group < 1 or self.max_tokens < 1:
            raise ValueError("group and max_tokens must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Question:
    """A prompt to be answered. fields: what is written back beside the answer. end: byte behind its line."""

    messages: tuple[Message, ...]
    fields: Mapping[str, Any]
    end: int


@dataclass
class Tally:
    """What a run did. n_answers: lines written. duplicates, bad, too_long: prompts that got no answer."""

    n_answers: int = 0
    resumed: int = 0
    duplicates: int = 0
    bad: int = 0
    too_long: int = 0


def generate(
    prompts: Path, target: Target, model: Model, settings: Settings, *, progress: Progress | None = None
) -> Tally:
    """Answers each different prompt once, in their order; goes on where an earlier run was stopped.

    Args:
        prompts: lines with a `prompt`, a chat (`messages`), or `turns`, of which the first is asked; other
            lines of JSON are bad. A file that does not begin with "{" has a prompt on each line.
        progress: called with (bytes done, all bytes).

    Raises:
        ValueError: the target exists or was begun otherwise, and is not forced.
        DataError: there is no prompt; another process writes the target.
        OSError: a file cannot be read or written.
        DecodeError: llama.cpp could not compute a step.
    """
    check_apart(prompts, target)
    facts = {"input": sha256_of(prompts), "settings": asdict(settings)}
    total = prompts.stat().st_size
    tally = Tally()
    with Checkpoint(target, facts) as file:
        done = file.n_lines - file.n_lines % settings.group
        file.cut(done)
        questions = read_prompts(prompts, tally)
        while group := list(islice(questions, settings.group)):
            if tally.resumed < done:
                tally.resumed += len(group)
                tally.n_answers += len(group)
                continue
            for line in _answers(model, group, settings, tally):
                file.write(line)
                tally.n_answers += 1
            if progress is not None:
                progress(group[-1].end, total)
        if not tally.n_answers:
            raise DataError(str(prompts), "no line holds a prompt")
        file.finish()
    return tally


def read_prompts(path: Path, tally: Tally) -> Iterator[Question]:
    """The prompts of a file, each once. Keeps eight bytes of each in memory. Raises: OSError."""
    seen: set[bytes] = set()
    end = 0
    plain = _is_plain(path)
    with path.open("rb") as lines:
        for line in lines:
            end += len(line)
            if not line.strip():
                continue
            question = _question(line, end, plain=plain)
            if question is None:
                tally.bad += 1
                continue
            key = _key(question.messages)[:8]
            if key in seen:
                tally.duplicates += 1
                continue
            seen.add(key)
            yield question


def _is_plain(path: Path) -> bool:
    with path.open("rb") as file:
        return not file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _question(line: bytes, end: int, *, plain: bool) -> Question | None:
    try:
        text = line.decode("utf-8-sig")
        fields: Any = {"prompt": text.strip()} if plain else json.loads(text)
        if isinstance(fields.get("messages"), list):
            turns = fields["messages"]
            messages = chat.normalise(turns)
            return Question(messages=tuple(messages), fields={"messages": turns}, end=end)
        prompt = fields.get("prompt")
        if prompt is None and fields.get("turns"):
            prompt = fields["turns"][0]
        messages = chat.normalise(prompt)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    content = messages[-1]["content"]
    if len(messages) != 1 or not content.strip():
        return None
    return Question(messages=tuple(messages), fields={"prompt": content}, end=end)


def _key(messages: Sequence[Message]) -> bytes:
    return sha256(json.dumps([[turn["role"], turn["content"]] for turn in messages]).encode()).digest()


def _answers(model: Model, group: Sequence[Question], settings: Settings, tally: Tally) -> list[bytes]:
    """One line for each prompt of a group, in their order."""
    model.reset()
    found = _ask_all(model, group, settings)
    lines = []
    for question, answer in zip(group, found, strict=True):
        fields = dict(question.fields)
        if answer is None:
            tally.too_long += 1
            fields |= {"answer": "", "finish_reason": "refused", "n_tokens": 0}
        else:
            n_tokens = answer.usage.completion_tokens
            fields |= {"answer": answer.text, "finish_reason": answer.finish_reason, "n_tokens": n_tokens}
        fields["model"] = settings.model
        lines.append(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return lines


def _ask_all(model: Model, group: Sequence[Question], settings: Settings) -> list[Answer | None]:
    """Answers in the order of the prompts; None for one that does not fit the context.

    A stream is submitted when its first event is asked for; from then on every step serves it.
    """
    streams = [_stream(model, question, settings) for question in group]
    firsts = [_first(stream) for stream in streams]
    return [
        None if first is None else _last(first, stream) for first, stream in zip(firsts, streams, strict=True)
    ]


def _stream(model: Model, question: Question, settings: Settings) -> Iterator[Event]:
    digested = sha256(b"%d\0" % settings.seed + _key(question.messages)).digest()
    return model.stream(
        list(question.messages),
        parallel="off",
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=int.from_bytes(digested[:8], "big"),
    )


def _first(stream: Iterator[Event]) -> Event | None:
    try:
        return next(stream)
    except ContextFullError:
        return None


def _last(first: Event, rest: Iterator[Event]) -> Answer:
    for event in (first, *rest):
        if isinstance(event, Done):
            return event.result
    raise AssertionError("an answer ends with Done")
