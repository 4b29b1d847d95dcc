"""A model that answers: the public face of the package.

Every way to ask is a loop around the engine's step(). Several answers may be under way at once, from any
threads and tasks, and one step serves them all (steps.py).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from typing_extensions import Unpack

from aspd_local import _core
from aspd_local.events import Event, ReadingOrder
from aspd_local.loaded import LoadedModel
from aspd_local.loop import as_text
from aspd_local.parts import Progress, find, find_in, open_parts
from aspd_local.prompting import Messages, Prepared
from aspd_local.results import Answer
from aspd_local.typing import AnswerOptions, EngineSettings

__all__ = ["Messages", "Model", "Prepared", "Progress"]


class Model(LoadedModel):
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
            ProtocolError: settings["protocol"] is malformed, or the vocabulary has not its markers.
        """
        core_options = _core.ModelOptions()
        core_options.use_mmap = use_mmap
        core_options.n_gpu_layers = n_gpu_layers
        path = find(source, offline=offline, progress=progress)
        super().__init__(open_parts(path, settings, core_options, progress))

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
        path = find_in(repo_id, filename, offline=offline, progress=progress)
        return cls(path, offline=offline, progress=progress, **settings)

    # --- asking ------------------------------------------------------------------------------------------

    def chat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """Answers the last message.

        Args:
            messages: a question, or a list of {"role": ..., "content": ...}; roles: system, user, assistant.
                Answers of this model among them are taken from the cache as they were decoded.
            options: see aspd_local.options.Options.

        Raises:
            ValueError: a bad option or message, a model without a chat template, or one that was closed.
            ContextFullError: the prompt does not fit; nothing was decoded.
            ProtocolError: the forced protocol's markers are absent or not CONTROL, or its file is malformed.
            ModelError: the model's chat template fails or exceeds its limits.
            DecodeError: llama.cpp could not compute a step.
            TimeoutError: it was not over after options["timeout"] seconds.
        """
        self.parts.schedule.refresh()
        return self.parts.loop.answer(self.parts.prompting.chat_requests(messages, options))

    def generate(self, prompt: str, **options: Unpack[AnswerOptions]) -> Answer:
        """Continues a plain text; nothing in it is read as a special token. Raises: as chat()."""
        self.parts.schedule.refresh()
        return self.parts.loop.answer(self.parts.prompting.plain_requests(prompt, options))

    def stream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        """The events of an answer as they happen; the last is Done. Closing the iterator cancels the answer.

        Raises: as chat(), when the first event is asked for.
        """
        self.parts.schedule.refresh()
        return self.parts.loop.events(self.prepare(messages, **options))

    def stream_prompt(self, prompt: str, **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        """As stream(), for a plain prompt."""
        self.parts.schedule.refresh()
        return self.parts.loop.events(self.prepare_prompt(prompt, **options))

    def stream_text(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Iterator[str]:
        """The text of an answer in reading order, piece by piece. Raises: as chat()."""
        yield from as_text(self.stream(messages, **options))

    async def achat(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Answer:
        """As chat(). Several may be awaited at once: their lanes share the decode steps."""
        await self.parts.schedule.arefresh()
        return await self.parts.loop.aanswer(self.parts.prompting.chat_requests(messages, options))

    async def astream(self, messages: Messages, **options: Unpack[AnswerOptions]) -> AsyncIterator[Event]:
        """As stream()."""
        await self.parts.schedule.arefresh()
        events = self.parts.loop.aevents(self.prepare(messages, **options))
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
        self.parts.steps.cancel(request_id)

    # --- loops of one's own ------------------------------------------------------------------------------

    def prepare(self, messages: Messages, **options: Unpack[AnswerOptions]) -> Prepared:
        """A chat's next answer, ready to be submitted; from any thread, while another one steps. Raises: as
        chat(), but for what only decoding can tell.
        """
        return self.parts.prompting.chat_request(messages, options)

    def prepare_prompt(self, prompt: str | Sequence[int], **options: Unpack[AnswerOptions]) -> Prepared:
        """As prepare(), for a plain prompt. Token ids, [n_tokens], are taken as they are."""
        return self.parts.prompting.plain_request(prompt, options)

    def submit(self, prepared: Prepared) -> int:
        """Hands a question to the engine; its answer's id. The answer moves on with every step().

        Raises:
            ContextFullError: the prompt does not fit.
            ProtocolError: the protocol's markers are absent or not CONTROL.
            ValueError: the model is closed.
        """
        self.parts.schedule.refresh()
        return self.parts.loop.submit(prepared)

    def step(self) -> list[tuple[int, Event]]:
        """One decode step for all answers that are under way: what happened, in order, for those of submit().

        Where it raises DecodeError, the answers of that step are over, as the next step() tells.

        Raises:
            DecodeError: llama.cpp could not compute the step.
            ValueError: the model is closed.
        """
        return self.parts.loop.step()

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self.parts.steps.has_work

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

    # --- the chat's cache --------------------------------------------------------------------------------

    def save_session(self, path: str | os.PathLike[str]) -> None:
        """Writes the last answer's conversation to a file: token ids, structure and cells.

        Raises:
            ValueError: nothing was answered yet, or the cache no longer holds it.
            OSError: the file cannot be written.
        """
        self.parts.conversation.save(path)

    def load_session(self, path: str | os.PathLike[str]) -> None:
        """Puts back what save_session() wrote: the next turn of that chat decodes only what is new.

        Raises:
            ModelError: the file is damaged, no session, or was written with another model or build.
            ContextFullError: the context is too small for it.
            OSError: the file cannot be read.
        """
        self.parts.conversation.load(path)

    def reset(self) -> None:
        """Forgets all finished answers and frees their cells."""
        self.parts.conversation.reset()

    # --- prompts, and the end ----------------------------------------------------------------------------

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
        return self.parts.prompting.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)

    def close(self) -> None:
        """Frees the cache at once. Answers under way end with a ValueError, and so does every later call."""
        self.parts.loop.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
