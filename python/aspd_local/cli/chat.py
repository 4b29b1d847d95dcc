"""`aspd chat`: many turns. On a terminal with panes and commands; from a pipe each line is a turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from aspd_local.cli import progress
from aspd_local.cli.asking import ask, conversation
from aspd_local.cli.chat_file import read_chat, write_chat
from aspd_local.cli.flags import AnswerFlags, ModelFlags, Plan, spread
from aspd_local.cli.models import fetched, history_file
from aspd_local.cli.notes import errors_in_one_line, note, reason
from aspd_local.cli.screen import open_screen
from aspd_local.cli.shell import model_names
from aspd_local.cli.summary import facts, warnings
from aspd_local.errors import AspdError
from aspd_local.spelling import did_you_mean

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.cli.answerer import Answerer
    from aspd_local.results import Answer
    from aspd_local.typing import AnswerOptions


HELP_TEXT = (
    "/retry              answer the last question once more, in another way\n"
    "/model [NAME]       go on with another model; without NAME: which one it is\n"
    "/serial             never fork\n"
    "/parallel [NAME]    fork again, under the protocol NAME (or of a file) if one is given\n"
    "/plan [auto|always] who opens a plan: the model where it sees fit, or the engine every time\n"
    "/system [TEXT]      set the system message; without TEXT there is none\n"
    "/stats              times of the last answer\n"
    "/save FILE          keep this chat, with its cache\n"
    "/load FILE          go on with a chat that was kept\n"
    "/reset              begin anew\n"
    "/help, /?           this list\n"
    "/exit, /quit        leave, as Ctrl-D\n"
    "Enter sends a message, Alt-Enter begins a new line of it, a paste is one message; between three "
    'quotes (""") Enter begins a new line. Tab completes, the arrows bring back what was typed. '
    "Ctrl-C ends an answer."
)


@spread
def chat(model: ModelFlags, answer: AnswerFlags) -> None:
    """Chat. Branches grow side by side; /help lists the commands, Ctrl-C ends an answer, Ctrl-D leaves."""
    with errors_in_one_line():
        answer.options()  # contradictions show before the model is loaded
        on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        with closing(Chat(model, answer)) as talk:
            if on_terminal:
                talk.greet()
            for line in typed_messages() if on_terminal else piped_lines():
                try:
                    if talk.take(line) == "exit":
                        break
                    if on_terminal and line.strip():
                        note("")
                except BrokenPipeError:
                    raise
                except (AspdError, ValueError, OSError) as error:
                    note(f"aspd: {reason(error) if isinstance(error, OSError) else error}")
                    if not on_terminal:
                        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error


def typed_messages() -> Iterator[str]:
    """Turns typed at a terminal."""
    from aspd_local.cli import keyboard
    from aspd_local.protocol import names

    def nothing() -> list[str]:
        return []

    words: dict[str, keyboard.Words | None] = {
        "model": model_names,
        "parallel": names,
        "plan": lambda: [plan.value for plan in Plan],
        "save": None,
        "load": None,
    }
    return keyboard.messages({name: words.get(name, nothing) for name in COMMANDS}, history_file())


def piped_lines() -> Iterator[str]:
    """Turns from a pipe, one a line."""
    for line in sys.stdin:
        yield line.removesuffix("\n")


class Chat:
    """The conversation and the commands that change it.

    Raises, from take(): what the model raises; the turn that failed is then forgotten.
    """

    def __init__(self, model: ModelFlags, flags: AnswerFlags) -> None:
        """Opens the model. Raises: as progress.open_model."""
        self._model = model
        self._flags = flags
        self._engine: Answerer = progress.open_model(model)
        self._last: Answer | None = None
        self._question: str | None = None  # the last one, answered or not
        self.messages: list[Message] = []  # without the system message

    def close(self) -> None:
        self._engine.close()

    def greet(self) -> None:
        name, protocol = self._engine.path.name, self._engine.protocol
        note(f"{name}, {protocol}. /help lists the commands, Ctrl-D leaves.")

    def take(self, line: str) -> str | None:
        """A turn or a command; "exit" if the chat is to end."""
        text = line.strip()
        if not text:
            return None
        if text.startswith("/"):
            return self._command(text)
        self._answer(text, self.messages, self._flags.options())
        return None

    def _answer(self, question: str, before: Sequence[Message], options: AnswerOptions) -> None:
        self._question = question
        asked: list[Message] = [*before, {"role": "user", "content": question}]
        messages = conversation(self._flags.system, asked)
        answer = ask(self._engine, lambda: self._engine.stream(messages, **options), open_screen()).answer
        if answer is None:
            note("(stopped; this turn is forgotten)")
            return
        self._last = answer
        self.messages = [*asked, {"role": "assistant", "content": answer.text}]
        for line in [*warnings(answer, options), *(facts(answer) if self._model.verbose else [])]:
            note(f"({line})")

    # --- commands --------------------------------------------------------------------------------------

    def _command(self, text: str) -> str | None:
        name, _, argument = text[1:].partition(" ")
        if name not in COMMANDS:
            guess = did_you_mean(name, COMMANDS) or "; /help lists the commands"
            raise ValueError(f"unknown command /{name}{guess}")
        return COMMANDS[name](self, argument.strip())

    def _help(self, _: str) -> None:
        note(HELP_TEXT)

    def _exit(self, _: str) -> str:
        return "exit"

    def _retry(self, _: str) -> None:
        if self._question is None:
            raise ValueError("/retry: nothing was asked yet")
        answered = bool(self.messages) and self.messages[-2]["content"] == self._question
        before = self.messages[:-2] if answered else self.messages
        self._answer(self._question, before, {**self._flags.options(), "seed": None})

    def _switch_model(self, name: str) -> None:
        if name:
            chosen = replace(self._model, model=str(fetched(name)))  # a bad name changes nothing
            self._engine.close()  # one at a time in memory
            try:
                self._engine = progress.open_model(chosen)
            except Exception:
                self._engine = progress.open_model(self._model)
                raise
            self._model = chosen
        note(f"({self._engine.path.name}, {self._engine.protocol})")

    def _reset(self, _: str) -> None:
        self._engine.reset()
        self.messages = []
        self._last = self._question = None
        note("(a new chat)")

    def _serial(self, _: str) -> None:
        self._flags = replace(self._flags, serial=True, protocol=None, plan=Plan.AUTO)
        note("(serial)")

    def _parallel(self, protocol: str) -> None:
        if protocol:
            from aspd_local.protocol import find

            find(protocol, option="/parallel")  # an unknown name is refused now
        self._flags = replace(self._flags, serial=False, protocol=protocol or None)
        note(f"(parallel: {protocol or self._engine.protocol})")

    def _plan(self, who: str) -> None:
        if who not in ("", "auto", "always"):
            raise ValueError("/plan takes auto or always")
        turned = Plan.AUTO if self._flags.plan is Plan.ALWAYS else Plan.ALWAYS
        plan = Plan(who) if who else turned
        serial = self._flags.serial and plan is Plan.AUTO
        self._flags = replace(self._flags, serial=serial, plan=plan)
        note(f"(plan: {plan.value})")

    def _system(self, text: str) -> None:
        self._flags = replace(self._flags, system=text or None)
        note("(system message set)" if text else "(no system message)")

    def _save(self, file: str) -> None:
        if not file:
            raise ValueError("/save needs a file name")
        write_chat(file, self._flags.system, self.messages, self._engine)
        note(f"(saved to {file})")

    def _load(self, file: str) -> None:
        if not file:
            raise ValueError("/load needs a file name")
        system, messages = read_chat(file, self._engine)
        self._flags = replace(self._flags, system=system)
        self.messages = messages
        self._last = None
        self._question = messages[-2]["content"] if messages else None
        note(f"(loaded: {len(messages) // 2} turns)")
        if messages:
            note(f">>> {messages[-2]['content']}\n{messages[-1]['content']}")

    def _stats(self, _: str) -> None:
        for line in facts(self._last) if self._last is not None else ["nothing was answered yet"]:
            note(line)


COMMANDS: Mapping[str, Callable[[Chat, str], str | None]] = {
    "help": Chat._help,
    "?": Chat._help,
    "exit": Chat._exit,
    "quit": Chat._exit,
    "retry": Chat._retry,
    "model": Chat._switch_model,
    "reset": Chat._reset,
    "serial": Chat._serial,
    "parallel": Chat._parallel,
    "plan": Chat._plan,
    "system": Chat._system,
    "save": Chat._save,
    "load": Chat._load,
    "stats": Chat._stats,
}
