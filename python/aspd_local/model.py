"""A model that answers: the public face of the package.

Every way to ask is a loop around the engine's step(). Several answers may be under way at once, from any
threads and tasks, and one step serves them all (steps.py).
"""

from __future__ import annotations

import difflib
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

from typing_extensions import Unpack

from aspd_local import _core, protocol
from aspd_local.conversation import Conversation
from aspd_local.events import Event, ReadingOrder
from aspd_local.history import SERIAL, History
from aspd_local.log import drain_log
from aspd_local.loop import Loop, as_text
from aspd_local.options import Options
from aspd_local.prompting import Messages, Prepared, Prompting, of_one_answer
from aspd_local.results import Answer
from aspd_local.schedule import Schedule
from aspd_local.steps import Steps
from aspd_local.translate import text_of
from aspd_local.typing import AnswerOptions, EngineSettings

_log = logging.getLogger("aspd_local")

__all__ = ["Messages", "Model", "Prepared", "Progress"]

_Word = TypeVar("_Word", bound=str)
Progress = Callable[[int, int | None, str], None]


class Model:
    """A GGUF model in memory, with its KV cache.

    >>> model = Model("qwen2.5-coder-1.5b")                              # doctest: +SKIP
    >>> answer = model.chat("How can I improve my time management skills?")  # doctest: +SKIP
    >>> [branch.title for block in answer.blocks for branch in block.branches]  # doctest: +SKIP
    ['Prioritize tasks', 'Use a calendar', 'Take breaks']
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        offline: bool = False,
        progress: Progress | None = None,
        use_mmap: bool = True,
        n_gpu_layers: int = -1,
        **settings: Unpack[EngineSettings],
    ) -> None:
        """Finds the file, loads it and makes room for n_ctx tokens.

        When a model is loaded for the first time, what decode steps cost on this machine is measured in some
        seconds and kept in the user's cache; steps and forks are scheduled by it. profile="off": neither.

        Args:
            source: a path, "hf:owner/repo:Q4_K_M", or a name of `aspd models list`.
            offline: use only what is on this machine.
            progress: called with (done, total or None, label): bytes while a file is fetched, steps of
                several widths, under the label "measuring", while they are measured. None: a bar on stderr
                while a file is fetched, where that is a terminal.
            use_mmap: map the file instead of reading it.
            n_gpu_layers: layers on the GPU, if there is one; negative: all.
            settings: see EngineSettings; n_ctx is one pool of cells for prompts and all branches.

        Raises:
            ModelError: the file is missing, not GGUF, truncated or unsupported.
            DownloadError: it could not be fetched.
            ValueError: a malformed name or setting.
        """
        from aspd_local import tuning
        from aspd_local.instructions import open_instructions
        from aspd_local.sources import resolve

        with _shown(progress) as fetching:
            self.path = resolve(os.fsdecode(source), offline=offline, progress=fetching)
        measured = _one_of("profile", settings.pop("profile", "auto"), ("auto", "off")) == "auto"
        repack = _one_of("repack", settings.pop("repack", "auto"), ("auto", "on", "off"))
        keep = _one_of("instructions", settings.pop("instructions", "kept"), ("kept", "read")) == "kept"
        options = _core.ModelOptions()
        options.use_mmap = use_mmap
        options.n_gpu_layers = n_gpu_layers
        try:
            how = tuning.Tuning(
                path=self.path,
                model_options=options,
                engine_options=_engine_options(settings),
                repack=repack,
            )
            told = None if progress is None else functools.partial(_measuring, progress)
            opened = how.open(measure=measured, progress=told)
        finally:
            drain_log()
        if n_gpu_layers and (reason := _core.missing_gpu()):
            _log.warning("%s; the CPU computes", reason)
        self._model: _core.Model = opened.model
        self._steps = Steps(opened.engine)
        history = History()
        self._conversation = Conversation(self._model, self.path, self._steps, history)
        own = protocol.choose(self._model)
        bind = functools.partial(protocol.bind, own, self._model)
        self._schedule = Schedule(self._steps, opened.profile, bind)
        cells_of = f"{how.settings}, repacked {opened.repacked}"
        kept = open_instructions(self._model, opened.engine, self.path, cells_of) if keep else None
        self._loop = Loop(self._model, self._steps, self._schedule, self._conversation, kept)
        self._prompting = Prompting(
            self._model,
            self._steps,
            self._schedule,
            history,
            own=own,
            keeps_instructions=kept is not None,
        )
        del opened  # close() frees the engine

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str,
        *,
        offline: bool = False,
        progress: Progress | None = None,
        **settings: Unpack[EngineSettings],
    ) -> Model:
        """A model from the hub. filename: a file of the repository, or a pattern such as "*q4_k_m.gguf".

        Raises: as the constructor.
        """
        from aspd_local.sources import resolve_pattern

        with _shown(progress) as fetching:
            path = resolve_pattern(repo_id, filename, offline=offline, progress=fetching)
        return cls(path, offline=offline, progress=progress, **settings)

    # --- asking ----------------------------------------------------------------------------------------

    def chat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """Answers the last message.

        Args:
            messages: a question, or a list of {"role": ..., "content": ...}; roles: system, user, assistant.
                Answers of this model among them are taken from the cache as they were decoded.
            options: see aspd_local.options.Options.

        Raises:
            ValueError: a bad option or message, a model without a chat template, or one that was closed.
            ContextFullError: the prompt does not fit; nothing was decoded.
            ProtocolError: the forced protocol's markers are absent or not CONTROL.
            ModelError: the model's chat template fails or exceeds its limits.
            DecodeError: llama.cpp could not compute a step.
            TimeoutError: it was not over after options["timeout"] seconds.
        """
        self._schedule.refresh()
        prepared = [self._prompting.prepare_chat(messages, each) for each in Options.of(options).each()]
        return self._loop.answer(prepared)

    def generate(self, prompt: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Continues a plain text; nothing in it is read as a special token. Raises: as chat()."""
        self._schedule.refresh()
        prepared = [self._prompting.prepare_plain(prompt, each) for each in Options.of(options).each()]
        return self._loop.answer(prepared)

    def stream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        """The events of an answer as they happen; the last is Done. Closing the iterator cancels the answer.

        Raises: as chat(), when the first event is asked for.
        """
        self._schedule.refresh()
        return self._loop.events(self.prepare(messages, **options))

    def stream_prompt(self, prompt: str, **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        """As stream(), for a plain prompt."""
        self._schedule.refresh()
        return self._loop.events(self.prepare_prompt(prompt, **options))

    def stream_text(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Iterator[str]:
        """The text of an answer in reading order, piece by piece. Raises: as chat()."""
        yield from as_text(self.stream(messages, **options))

    async def achat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """As chat(). Several may be awaited at once: their lanes share the decode steps."""
        await self._schedule.arefresh()
        prepared = [self._prompting.prepare_chat(messages, each) for each in Options.of(options).each()]
        return await self._loop.aanswer(prepared)

    async def astream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AsyncIterator[Event]:
        """As stream()."""
        await self._schedule.arefresh()
        events = self._loop.aevents(self.prepare(messages, **options))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def astream_text(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AsyncIterator[str]:
        """As stream_text()."""
        order = ReadingOrder()
        async for event in self.astream(messages, **options):
            if piece := order.feed(event):
                yield piece

    def cancel(self, request_id: int | None = None) -> None:
        """Ends an answer, or all that are under way, from any thread.

        They end with finish_reason "cancelled" in the next step; one that is running is broken off.
        """
        self._steps.cancel(request_id)

    # --- loops of one's own ----------------------------------------------------------------------------

    def prepare(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Prepared:
        """A chat's next answer, ready to be submitted; from any thread, while another one steps. Raises: as
        chat(), but for what only decoding can tell.
        """
        return self._prompting.prepare_chat(messages, of_one_answer(options))

    def prepare_prompt(self, prompt: str | Sequence[int], **options: Unpack[AnswerOptions]) -> Prepared:
        """As prepare(), for a plain prompt. Token ids, [n_tokens], are taken as they are."""
        return self._prompting.prepare_plain(prompt, of_one_answer(options))

    def submit(self, prepared: Prepared) -> int:
        """Hands a question to the engine; its answer's id. The answer moves on with every step().

        Raises:
            ContextFullError: the prompt does not fit.
            ProtocolError: the protocol's markers are absent or not CONTROL.
            ValueError: the model is closed.
        """
        self._schedule.refresh()
        return self._loop.submit(prepared)

    def step(self) -> list[tuple[int, Event]]:
        """One decode step for all answers that are under way: what happened, in order, for those of submit().

        Where it raises DecodeError, the answers of that step are over, as the next step() tells.

        Raises:
            DecodeError: llama.cpp could not compute the step.
            ValueError: the model is closed.
        """
        return self._loop.step()

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self._steps.has_work

    def cancel_branch(self, request_id: int, branch: str) -> None:
        """A branch, such as "1.2", writes no more; the answer goes on. From any thread.

        Nothing happens where it has ended already.

        Raises:
            ValueError: that is no name of a branch.
        """
        block, _, number = branch.partition(".")
        if not (block.isdecimal() and number.isdecimal() and len(branch) <= 12):
            raise ValueError(f"{branch!r} is no branch: they are named as in '1.2'")
        self.engine.cancel_branch(request_id, int(block), int(number))

    # --- the chat's cache ------------------------------------------------------------------------------

    def save_session(self, path: str | os.PathLike[str]) -> None:
        """Writes the last answer's conversation to a file: token ids, structure and cells.

        Raises:
            ValueError: nothing was answered yet, or the cache no longer holds it.
            OSError: the file cannot be written.
        """
        self._conversation.save(path)

    def load_session(self, path: str | os.PathLike[str]) -> None:
        """Puts back what save_session() wrote: the next turn of that chat decodes only what is new.

        Raises:
            ModelError: the file is damaged, no session, or was written with another model or build.
            ContextFullError: the context is too small for it.
            OSError: the file cannot be read.
        """
        self._conversation.load(path)

    def reset(self) -> None:
        """Forgets all finished answers and frees their cells."""
        self._conversation.reset()

    # --- facts -----------------------------------------------------------------------------------------

    @property
    def protocol(self) -> str:
        """Name of the protocol that parallel="auto" uses; "serial" if there is none."""
        return self._prompting.own.name if self.can_join else SERIAL

    @property
    def can_join(self) -> bool:
        """Whether this model's memory can join branches; else every answer is serial."""
        return self.engine.can_join

    @property
    def cannot_join_reason(self) -> str | None:
        """Why it cannot; None if it can."""
        return self.engine.cannot_join_reason or None

    @property
    def has_chat_template(self) -> bool:
        """Whether chat() can be used; else only generate()."""
        return self._prompting.has_template

    @property
    def n_ctx(self) -> int:
        """Cells of the KV cache, for all answers together."""
        return self.engine.n_cells

    @property
    def description(self) -> str:
        """Architecture, size and quantisation, in llama.cpp's words."""
        return self._model.description

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, [n_tokens]. No special token is read in it, no BOS is added."""
        return self._model.tokenize(text, False)

    def count_tokens(self, messages: Messages, **options: Unpack[AnswerOptions]) -> int:
        """Tokens of the prompt that chat() would send, a protocol's instructions and `tools` included.

        Raises: as prepare().
        """
        return len(self.prepare(messages, **options).request.prompt)

    def render(
        self,
        messages: Messages,
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The prompt of a serial answer as text, as the model's chat template writes it.

        Args:
            add_generation_prompt: end with what opens the assistant's turn.
            tools: as in Options.

        Raises:
            ValueError: a bad message, or a model without a chat template.
            ModelError: the template fails or exceeds its limits.
        """
        return self._prompting.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """The text of token ids; CONTROL tokens give none. Raises ValueError for an unknown id."""
        return text_of(self._model, token_ids)

    def close(self) -> None:
        """Frees the cache at once. Answers under way end with a ValueError, and so does every later call."""
        self._loop.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._steps.is_closed:
            return f"<Model {self.path.name}, closed>"
        return f"<Model {self.path.name}, {self.description}, {self.protocol}, {self.n_ctx} cells>"

    @property
    def core(self) -> _core.Model:
        """The core's model: vocabulary and metadata."""
        return self._model

    @property
    def engine(self) -> _core.Engine:
        """The engine, for loops of one's own around its submit() and step(): from one thread, while no answer
        of this model is under way. Raises ValueError when closed.
        """
        return self._steps.engine


def _engine_options(settings: EngineSettings) -> _core.EngineOptions:
    options = _core.EngineOptions()
    known = sorted(EngineSettings.__annotations__)
    for key, value in settings.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"there is no setting {key!r}; {hint}")
        if value is None:
            continue
        try:
            setattr(options, key, value)
        except TypeError as error:
            raise ValueError(f"{key} cannot be {value!r}") from error
    return options


@contextmanager
def _shown(progress: Progress | None) -> Iterator[Progress | None]:
    """What is told while a file is fetched: a bar, where nobody else shows it and stderr is a terminal."""
    from aspd_local.sources.bar import on_terminal, progress_bar

    if progress is not None or not on_terminal():
        yield progress
        return
    with progress_bar() as bar:
        yield bar


def _measuring(progress: Progress, done: int, total: int) -> None:
    progress(done, total, "measuring")


def _one_of(name: str, value: _Word, words: tuple[_Word, ...]) -> _Word:
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, not {value!r}")
    return value
