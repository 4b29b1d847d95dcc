"""What a person types at a terminal in `aspd chat`: messages of several lines, history, completion.

Knows nothing of models and of what the commands do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

PROMPT = ">>> "
_GOES_ON = "... "
_QUOTES = '"""'
_MOST_BYTES = 1 << 20  # of the history; half of it goes when it is longer

Words = Callable[[], Sequence[str]]


def messages(commands: Mapping[str, Words | None], history: Path) -> Iterator[str]:
    """What is typed, message by message, until Ctrl-D. Ctrl-C empties the line.

    Enter ends a message, Alt-Enter begins a new line of it. A paste is one message, however many lines it
    has. Between three quotes Enter too begins a new line.

    Args:
        commands: names that follow "/", each with the words that may follow it; None: files.
        history: keeps what was typed, for the next chat too.
    """
    session: PromptSession[str] = PromptSession(
        history=_History(history),
        completer=_Commands(commands),
        complete_while_typing=False,
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation=_GOES_ON,
        enable_history_search=True,
    )
    while True:
        try:
            text = session.prompt(PROMPT)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.startswith(_QUOTES):
            text = text.removeprefix(_QUOTES).removesuffix(_QUOTES)
        yield text


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None  # the chosen word stands there; another Enter ends the message
        elif buffer.text.startswith(_QUOTES) and not _is_closed(buffer.text):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _is_closed(text: str) -> bool:
    return len(text) >= 2 * len(_QUOTES) and text.endswith(_QUOTES)


class _Commands(Completer):
    """Completes a command and the word behind it."""

    def __init__(self, commands: Mapping[str, Words | None]) -> None:
        self._commands = commands
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, argument = text[1:].partition(" ")
        if not space:
            yield from _beginning(name, sorted(self._commands))
        elif name in self._commands:
            words = self._commands[name]
            if words is None:
                yield from self._files.get_completions(Document(argument), complete_event)
            else:
                yield from _beginning(argument, words())


def _beginning(typed: str, words: Iterable[str]) -> Iterator[Completion]:
    return (Completion(word, -len(typed)) for word in words if word.startswith(typed))


class _History(FileHistory):
    """Kept in a file that only its owner reads. Where it cannot be kept, the chat goes on without."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            super().store_string(string)
            self._shorten()
        except OSError:
            pass

    def _shorten(self) -> None:
        if self._path.stat().st_size <= _MOST_BYTES:
            return
        kept = self._path.read_bytes()[-_MOST_BYTES // 2 :]
        begin = kept.find(b"\n# ") + 1  # an entry begins with its time
        new = self._path.with_suffix(".new")
        descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(kept[begin:])
        new.replace(self._path)
