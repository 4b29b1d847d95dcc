"""`aspd chat`: many turns. On a terminal with panes and commands; from a pipe each line is a turn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from aspd_local.cli import progress
from aspd_local.cli.asking import ask, conversation
from aspd_local.cli.chat_file import read_chat, write_chat
from aspd_local.cli.flags import AnswerFlags, ModelFlags, Plan, spread
from aspd_local.cli.models import errors_in_one_line
from aspd_local.cli.screen import open_screen
from aspd_local.cli.summary import facts, warnings
from aspd_local.errors import AspdError

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.cli.answerer import Answerer
    from aspd_local.results import Answer

_PROMPT = ">>> "
_QUOTES = '"""'


@spread
def chat(model: ModelFlags, answer: AnswerFlags) -> None:
    """Chat. Branches grow side by side; /help lists the commands, Ctrl-C ends an answer, Ctrl-D leaves."""
    with errors_in_one_line():
        answer.options()  # contradictions show before the model is loaded
        on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        with closing(progress.open_model(model)) as engine:
            talk = Chat(engine, answer, verbose=model.verbose)
            if on_terminal:
                _say(f"{engine.path.name}, {engine.protocol}. /help lists the commands, Ctrl-D leaves.")
            for line in typed_lines() if on_terminal else piped_lines():
                try:
                    if talk.take(line) == "exit":
                        break
                    if on_terminal and line.strip():
                        _say("")
                except BrokenPipeError:
                    raise
                except (AspdError, ValueError, OSError) as error:
                    _say(f"aspd: {error}")
                    if not on_terminal:
                        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error


def typed_lines() -> Iterator[str]:
    """Turns typed at a terminal, with line editing. Three quotes begin and end a turn of several lines."""
    import readline  # noqa: F401  (input() edits lines with it)

    while True:
        try:
            line = input(_PROMPT)
            if line.startswith(_QUOTES):
                lines = [line[len(_QUOTES) :]]
                while not lines[-1].endswith(_QUOTES):
                    lines.append(input("... "))
                line = "\n".join(lines).removesuffix(_QUOTES)
        except KeyboardInterrupt:
            _say("")
            continue
        except EOFError:
            _say("")
            return
        yield line


def piped_lines() -> Iterator[str]:
    """Turns from a pipe, one a line."""
    for line in sys.stdin:
        yield line.removesuffix("\n")


class Chat:
    """The conversation and the commands that change it.

    Raises, from take(): what the model raises; the turn that failed is then forgotten.
    """

    def __init__(self, engine: Answerer, flags: AnswerFlags, *, verbose: bool = False) -> None:
        self._engine = engine
        self._flags = flags
        self._verbose = verbose
        self._last: Answer | None = None
        self.messages: list[Message] = []  # without the system message

    def take(self, line: str) -> str | None:
        """A turn or a command; "exit" if the chat is to end."""
        text = line.strip()
        if not text:
            return None
        if text.startswith("/"):
            return self._command(text)
        self._answer(text)
        return None

    def _answer(self, question: str) -> None:
        options = self._flags.options()
        asked: list[Message] = [*self.messages, {"role": "user", "content": question}]
        messages = conversation(self._flags.system, asked)
        answer = ask(self._engine, lambda: self._engine.stream(messages, **options), open_screen()).answer
        if answer is None:
            _say("(stopped; this turn is forgotten)")
            return
        self._last = answer
        self.messages = [*asked, {"role": "assistant", "content": answer.text}]
        for note in [*warnings(answer, options), *(facts(answer) if self._verbose else [])]:
            _say(f"({note})")

    # --- commands --------------------------------------------------------------------------------------

    def _command(self, text: str) -> str | None:
        name, _, argument = text[1:].partition(" ")
        commands: dict[str, Callable[[str], str | None]] = {
            "help": self._help,
            "exit": lambda _: "exit",
            "reset": self._reset,
            "serial": self._serial,
            "parallel": self._parallel,
            "plan": self._plan,
            "system": self._system,
            "save": self._save,
            "load": self._load,
            "stats": self._stats,
        }
        if name not in commands:
            raise ValueError(f"unknown command /{name}; /help lists the commands")
        return commands[name](argument.strip())

    def _help(self, _: str) -> None:
        _say(
            "/serial             never fork\n"
            "/parallel [NAME]    fork again, under the protocol NAME if one is given\n"
            "/plan [auto|always] who opens a plan: the model where it sees fit, or the engine every time\n"
            "/system [TEXT]      set the system message; without TEXT there is none\n"
            "/stats              times of the last answer\n"
            "/save FILE          keep this chat, with its cache\n"
            "/load FILE          go on with a chat that was kept\n"
            "/reset              begin anew\n"
            "/exit               leave, as Ctrl-D\n"
            'Three quotes (""") begin and end a message of several lines. Ctrl-C ends an answer.'
        )

    def _reset(self, _: str) -> None:
        self._engine.reset()
        self.messages = []
        self._last = None
        _say("(a new chat)")

    def _serial(self, _: str) -> None:
        self._flags = replace(self._flags, serial=True, protocol=None, plan=Plan.AUTO)
        _say("(serial)")

    def _parallel(self, protocol: str) -> None:
        if protocol:
            from aspd_local.protocol import load

            load(protocol)  # an unknown name is refused now
        self._flags = replace(self._flags, serial=False, protocol=protocol or None)
        _say(f"(parallel: {protocol or self._engine.protocol})")

    def _plan(self, who: str) -> None:
        if who not in ("", "auto", "always"):
            raise ValueError("/plan takes auto or always")
        turned = Plan.AUTO if self._flags.plan is Plan.ALWAYS else Plan.ALWAYS
        plan = Plan(who) if who else turned
        serial = self._flags.serial and plan is Plan.AUTO
        self._flags = replace(self._flags, serial=serial, plan=plan)
        _say(f"(plan: {plan.value})")

    def _system(self, text: str) -> None:
        self._flags = replace(self._flags, system=text or None)
        _say("(system message set)" if text else "(no system message)")

    def _save(self, file: str) -> None:
        if not file:
            raise ValueError("/save needs a file name")
        write_chat(file, self._flags.system, self.messages, self._engine)
        _say(f"(saved to {file})")

    def _load(self, file: str) -> None:
        if not file:
            raise ValueError("/load needs a file name")
        system, messages = read_chat(file, self._engine)
        self._flags = replace(self._flags, system=system)
        self.messages = messages
        self._last = None
        _say(f"(loaded: {len(messages) // 2} turns)")
        if messages:
            _say(f"{_PROMPT}{messages[-2]['content']}\n{messages[-1]['content']}")

    def _stats(self, _: str) -> None:
        for line in facts(self._last) if self._last is not None else ["nothing was answered yet"]:
            _say(line)


def _say(text: str) -> None:
    """What is no answer goes to stderr."""
    typer.echo(text, err=True)
