"""What does a user meet who asks a model with default settings? Times and texts of whole answers.

One process asks mixed questions in several languages, each one serially (parallel="off") and by one or more
protocols in turn; which one comes first alternates. Temperature 0; everything else is the default. The first
answer of the process is marked as cold.

    python bench/as_met.py --out DIR [--split test] [--protocols auto,prompted] [--seconds 3000]

Between two answers the cache is emptied and another short question is asked, which is not timed: otherwise
the second answer to a question would find the prompt that the first one has read. With --cache kept it stays
as the answers before have left it, and a question comes again behind others: whether what each question needs
stays there is part of what is measured. bench/as_met_summary.py prints what DIR/results.jsonl amounts to.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import comparison
import questions
from questions import OwnQuestion
from typing_extensions import Unpack

from aspd_local.chat import Message
from aspd_local.events import Done, Event, ReadingOrder, Text
from aspd_local.options import DraftCheck
from aspd_local.results import Answer
from aspd_local.typing import AnswerOptions

SERIAL = "off"
RESULTS = "results.jsonl"
SETTINGS = "settings.json"
OTHER_QUESTIONS = ("Hello.", "Hello.\n1. a\n2. b")  # a protocol may tell more of lists
LAG = 6  # questions until one comes again, where the cache is kept: more than are retained
OWN = {"own": questions.CORPUS, "procedures": questions.PROCEDURES}  # suites of this project's

Cache = Literal["other", "kept"]


class Answerer(Protocol):
    """The part of aspd_local.Model that is used here."""

    def stream(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        """As Model.stream()."""

    def chat(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Answer:
        """As Model.chat()."""

    def tokenize(self, text: str) -> list[int]:
        """As Model.tokenize()."""

    def reset(self) -> None:
        """As Model.reset()."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What answers depend on.

    Attributes:
        model: as Model() takes it.
        protocols: values of the option `parallel`, each compared with serial; with a colon and a value of
            `draft_check` behind it, if one is wanted: "auto:exact".
        max_tokens: of an answer.
        cache: "other": what another question leaves there; "kept": as the answers before have left it.
    """

    model: str = "qwen2.5-coder-1.5b"
    protocols: Sequence[str] = ("auto",)
    max_tokens: int = 1024
    cache: Cache = "other"

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not self.protocols or SERIAL in self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ValueError(f"protocols: one or more different ones, without {SERIAL!r}")


@dataclass
class Watch:
    """Events of one answer as they come, with the time.

    Attributes:
        clock: seconds. begin: when the question was asked.
        first: seconds until the first text. longest_gap: seconds between two pieces of text in reading order.
        seconds: until the end. answer: None until then.
    """

    clock: Callable[[], float]
    begin: float
    first: float | None = None
    longest_gap: float = 0.0
    seconds: float = 0.0
    answer: Answer | None = None
    _order: ReadingOrder = field(default_factory=ReadingOrder)
    _last_read: float | None = None

    def see(self, event: Event) -> None:
        """An event that has just come."""
        now = self.clock() - self.begin
        if isinstance(event, Text) and self.first is None:
            self.first = now
        if self._order.feed(event):
            if self._last_read is not None:
                self.longest_gap = max(self.longest_gap, now - self._last_read)
            self._last_read = now
        if isinstance(event, Done):
            self.answer, self.seconds = event.result, now


def ask(
    model: Answerer,
    question: OwnQuestion,
    asked: str,
    max_tokens: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """One answer as a line of results.jsonl. asked: as in Settings. Raises AspdError."""
    watch = Watch(clock, clock())
    for event in model.stream(question.text, **options_of(asked, max_tokens)):
        watch.see(event)
    answer = watch.answer
    assert answer is not None, "an answer ends with Done"
    first = watch.seconds if watch.first is None else watch.first
    return {
        **as_row(question, asked, answer, len(model.tokenize(answer.text))),
        "seconds": watch.seconds,
        "first_token_s": first,
        "longest_gap_s": watch.longest_gap,
    }


def options_of(asked: str, max_tokens: int) -> AnswerOptions:
    """The options of a greedy answer. asked: as in Settings."""
    parallel, _, draft_check = asked.partition(":")
    options: AnswerOptions = {"parallel": parallel, "temperature": 0.0, "max_tokens": max_tokens}
    if draft_check:
        options["draft_check"] = cast("DraftCheck", draft_check)
    return options


def as_row(question: OwnQuestion, asked: str, answer: Answer, n_text: int) -> dict[str, Any]:
    """An answer as a line of results.jsonl, without times.

    asked: as in Settings. n_text: tokens of its text.
    """
    return {
        "id": question.id,
        "language": question.language,
        "kind": question.kind,
        "question": question.text,
        "asked": asked,
        "protocol": answer.protocol,
        "text": answer.text,
        "tokens": answer.timings.trunk_tokens + answer.timings.branch_tokens,
        "text_tokens": n_text,
        "blocks": [
            [
                {"title": b.title, "span": list(b.span), "n_tokens": b.n_tokens, "end_reason": b.end_reason}
                for b in block.branches
            ]
            for block in answer.blocks
        ],
        "fallback": answer.fallback,
        "finish_reason": answer.finish_reason,
        "seconds": 0.0,
        "first_token_s": 0.0,
        "longest_gap_s": 0.0,
        "timings": asdict(answer.timings),
        "cold": False,
    }


def ask_another(model: Answerer, asked: str) -> None:
    """Leaves in the cache what a question finds that is not the first: the template, a protocol's prompt."""
    model.reset()
    for question in OTHER_QUESTIONS[: 1 if asked == SERIAL else None]:
        model.chat(question, **options_of(asked, 1))


def sides(protocols: Sequence[str], turn: int) -> tuple[str, ...]:
    """The options `parallel` of a question in the order in which they are asked: serial first in even turns,
    last in odd ones.
    """
    order = (SERIAL, *protocols)
    return order[::-1] if turn % 2 else order


def run(
    model: Answerer,
    asked: Sequence[OwnQuestion],
    out: Path,
    settings: Settings,
    seconds: float = float("inf"),
) -> None:
    """Appends the answers that out/results.jsonl does not hold, turn by turn.

    seconds: after that long no turn is begun. Raises AspdError, OSError.
    """
    begin = time.monotonic()
    known = {(row["id"], row["asked"]) for row in read_results(out)}
    cold = True
    planned = list(turns(asked, settings))
    for number, turn in enumerate(planned, 1):
        todo = [(question, side) for question, side in turn if (question.id, side) not in known]
        if not todo:
            continue
        if time.monotonic() - begin >= seconds:
            comparison.progress(f"{seconds:.0f} s are over")
            return
        rows = []
        for question, side in todo:
            if not cold and settings.cache == "other":
                ask_another(model, side)
            rows.append({**ask(model, question, side, settings.max_tokens), "cold": cold})
            cold = False
        with (out / RESULTS).open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        of_questions = [list(its) for _, its in itertools.groupby(rows, key=lambda row: row["id"])]
        comparison.progress(f"{number} of {len(planned)} {' | '.join(map(progress_line, of_questions))}")


def turns(asked: Sequence[OwnQuestion], settings: Settings) -> Iterator[list[tuple[OwnQuestion, str]]]:
    """What is asked, and by which option `parallel`, in turns whose answers are recorded together: a question
    by each side, or, where the cache is kept, by each side another question, LAG questions apart.
    """
    if settings.cache == "other":
        for turn, question in enumerate(asked):
            yield [(question, side) for side in sides(settings.protocols, turn)]
        return
    order = (SERIAL, *settings.protocols)
    for turn in range(len(asked) + LAG * (len(order) - 1)):
        ages = [(turn - LAG * n, side) for n, side in enumerate(order)]
        yield [(asked[number], side) for number, side in ages if 0 <= number < len(asked)]


def progress_line(rows: Sequence[dict[str, Any]]) -> str:
    """A question's id and kind, and for each side seconds, tokens and branches."""
    told = []
    for row in sorted(rows, key=lambda row: row["asked"] != SERIAL):
        branches = "+".join(str(len(block)) for block in row["blocks"])
        forked = f" in {branches}" if branches else ""
        told.append(f"{row['asked']} {row['seconds']:.1f} s {row['tokens']} tokens{forked}")
    return f"{rows[0]['id']} {rows[0]['kind']}: {', '.join(told)}"


def read_results(out: Path) -> list[dict[str, Any]]:
    """The lines of out/results.jsonl; none if there is no such file. Raises ValueError for a torn line."""
    path = out / RESULTS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def mixed(asked: Sequence[OwnQuestion]) -> list[OwnQuestion]:
    """The questions in rounds of one for each language, in the order of the corpus; within a round the
    languages take turns in beginning, so that no language is always asked serially first.
    """
    by_language: dict[str, list[OwnQuestion]] = {}
    for question in asked:
        by_language.setdefault(question.language, []).append(question)
    found = []
    columns = list(by_language.values())
    for number in range(max(map(len, columns), default=0)):
        start = number % len(columns)
        for column in columns[start:] + columns[:start]:
            found += column[number : number + 1]
    return found


def packaged(suite: str) -> list[OwnQuestion]:
    """First turns of a suite of `aspd eval` in English, their category as the kind."""
    from aspd_local.eval import suites

    return [
        OwnQuestion(id=f"{suite}-{each.key}", language="en", kind=each.category, text=each.turns[0])
        for each in suites.load(suite).questions
    ]


def add_choice(parser: argparse.ArgumentParser) -> None:
    """The options of chosen()."""
    parser.add_argument("--suite", choices=[*OWN, "vicuna", "gsm8k"], default="own")
    parser.add_argument(
        "--split", choices=["develop", "test", "all"], help="default: develop of the own suite, all of others"
    )
    parser.add_argument("--languages", type=words, default=[], help="such as de,fr; default: all")
    parser.add_argument("--kinds", type=words, default=[], help="such as list,recipe; default: all")
    parser.add_argument("--ids", type=words, default=[], help="such as de-07,fr-02; default: all")
    parser.add_argument("--limit", type=comparison.count, help="most questions")


def chosen(args: argparse.Namespace) -> list[OwnQuestion]:
    """The questions that the options name. Raises ValueError where there are none."""
    found = questions.corpus(OWN[args.suite]) if args.suite in OWN else packaged(args.suite)
    for name, known in (("languages", "language"), ("kinds", "kind"), ("ids", "id")):
        wanted = getattr(args, name)
        if wanted and (unknown := set(wanted) - {getattr(each, known) for each in found}):
            raise ValueError(f"no questions of the {name} {', '.join(sorted(unknown))}")
    split = args.split or ("develop" if args.suite == "own" else "all")
    found = [
        each
        for each in found
        if split in ("all", questions.split(each.text))
        and (not args.languages or each.language in args.languages)
        and (not args.kinds or each.kind in args.kinds)
        and (not args.ids or each.id in args.ids)
    ]
    if not found:
        raise ValueError("no question is left")
    return mixed(found)[: args.limit]


def keep_settings(out: Path, settings: Settings) -> None:
    """Makes the folder. Raises ValueError where it holds answers of other settings."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / SETTINGS
    told = {**asdict(settings), "protocols": list(settings.protocols)}
    if not path.exists():
        path.write_text(json.dumps(told) + "\n", encoding="utf-8")
    elif (before := json.loads(path.read_text(encoding="utf-8"))) != told:
        raise ValueError(f"{out} holds answers of {before}, not of {told}; name another folder")


def words(text: str) -> list[str]:
    """Words between commas, for argparse."""
    return [word.strip() for word in text.split(",") if word.strip()]


def main() -> None:
    """Asks and records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="qwen2.5-coder-1.5b", help="a path, or a name")
    add_choice(parser)
    parser.add_argument("--max-tokens", type=comparison.count, default=1024)
    parser.add_argument("--protocols", type=words, default=["auto"], help="each is compared with serial")
    parser.add_argument("--cache", choices=["other", "kept"], default="other", help="see above")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then no question is begun")
    parser.add_argument("--out", type=Path, required=True, help="a folder; its answers are kept")
    args = parser.parse_args()
    settings = Settings(
        model=args.model, protocols=args.protocols, max_tokens=args.max_tokens, cache=args.cache
    )
    asked = chosen(args)
    keep_settings(args.out, settings)

    from aspd_local import Model

    begin = time.perf_counter()
    with Model(settings.model) as model:
        comparison.progress(f"{model!r} in {time.perf_counter() - begin:.1f} s")
        run(model, asked, args.out, settings, args.seconds)


if __name__ == "__main__":
    sys.exit(comparison.guarded(main))
