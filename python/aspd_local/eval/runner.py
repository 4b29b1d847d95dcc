"""Asks all contestants all questions, in turn, and keeps every answer at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from aspd_local import _core
from aspd_local.chat import Message
from aspd_local.data import endpoint
from aspd_local.data.checkpoint import Checkpoint, Target
from aspd_local.errors import DataError
from aspd_local.eval import contestants, llama_server
from aspd_local.eval.attempt import Attempt
from aspd_local.eval.config import SERIAL, EvalConfig
from aspd_local.eval.contestants import NGRAM, Contestant
from aspd_local.eval.exact import right_share
from aspd_local.eval.likelihood import LikelihoodJudge, open_judge
from aspd_local.eval.machine import machine
from aspd_local.eval.preference import preference
from aspd_local.eval.results import RESULTS, Outcome, Results, read_results, to_line
from aspd_local.eval.suites import Question, load
from aspd_local.model import Model
from aspd_local.sources import resolve
from aspd_local.sources.digest import sha256_of

Progress = Callable[[str, int, int], None]
Unit = tuple[Question, str]  # one contestant's answer to one question


def run(
    config: EvalConfig,
    folder: Path,
    progress: Progress,
    *,
    force: bool = False,
    find: Callable[[str], Path] = resolve,
) -> Results:
    """Answers what is not answered yet, lets the judges speak, and gives results.jsonl its name.

    A run that was stopped goes on behind its last whole line.

    Args:
        folder: for the results; made where there is none.
        force: replace what is there.
        find: from a model's name to its file.

    Raises:
        ValueError: an unknown suite or contestant, or the folder holds other results.
        DataError: the suite or an endpoint is not what it should be; what was measured is kept.
        ModelError, DownloadError: as Model().
        OSError: the folder cannot be written.
    """
    questions = load(config.suite).drawn(config.limit, config.seed)
    path = find(config.model)
    judge = None if config.judge.model is None else find(config.judge.model)
    if judge is not None and judge.samefile(path):
        raise ValueError("a model does not judge itself: name another one")
    said = _said(config, path, questions, judge)
    folder.mkdir(parents=True, exist_ok=True)
    # Where an endpoint fails, the run can go on without it.
    begun_from = {name: value for name, value in said.items() if name != "endpoint"}
    with Checkpoint(Target(path=folder / RESULTS, force=force), begun_from) as file:
        if file.n_lines == 0:
            file.write(to_line({"run": said}))
        _Run(config, questions, folder, file, progress).go(path, judge)
        file.finish()
    return read_results(folder / RESULTS)


def plan(questions: Sequence[Question], names: Sequence[str]) -> Iterator[Unit]:
    """All units; with each question another contestant is first, so that none always answers at the same
    time.
    """
    for number, question in enumerate(questions):
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            yield question, name


def _said(
    config: EvalConfig, path: Path, questions: Sequence[Question], judge_path: Path | None
) -> dict[str, Any]:
    """The first line: what decides the results, and where they were measured."""
    return {
        "config": config.to_json(),
        "suite": Path(config.suite).stem,
        "n_questions": len(questions),
        "questions_sha256": sha256(repr(questions).encode()).hexdigest(),
        "model": {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)},
        "judge": None if judge_path is None else {"name": judge_path.name, "sha256": sha256_of(judge_path)},
        "endpoint": config.judge.name if config.judge.url else None,
        "machine": machine(),
    }


def answered(contestant: Contestant, question: Question, seed: int) -> tuple[Attempt, ...]:
    """An answer for each turn, [n_turns]. Raises: as the contestant."""
    contestant.warm_up()
    messages: list[Message] = []
    attempts = []
    own = int.from_bytes(sha256(f"{seed} {question.key}".encode()).digest()[:6], "big")
    for turn, text in enumerate(question.turns):
        messages.append({"role": "user", "content": text})
        attempt = contestant.answer(messages, own + turn)
        messages.append({"role": "assistant", "content": attempt.text})
        attempts.append(attempt)
    return tuple(attempts)


@dataclass(frozen=True)
class _Run:
    """A run whose file is open; what is in the file already is not done again."""

    config: EvalConfig
    questions: Sequence[Question]
    folder: Path
    file: Checkpoint
    progress: Progress

    def go(self, path: Path, judge: Path | None) -> None:
        units = list(plan(self.questions, self.config.names))
        done = max(self.file.n_lines - 1, 0)
        if done < len(units):
            with ExitStack() as stack:
                self._answer(units, done, self._open(path, stack))
        if judge is not None and done < 2 * len(units):
            self._judge(judge, max(done - len(units), 0))
        if self.config.judge.url is not None:
            self._prefer(self.config.judge.url)

    def _open(self, path: Path, stack: ExitStack) -> dict[str, Contestant]:
        config, threads = self.config, self.config.n_threads
        program = llama_server.find(config.server) if NGRAM in config.names else None
        model = stack.enter_context(
            Model(path, n_ctx=config.n_ctx, n_requests=8, n_threads=threads, n_threads_batch=threads)
        )
        by_name = {name: contestants.make(name, model, config) for name in config.names if name != NGRAM}
        if program is not None:
            command = llama_server.command(program, path, config, threads or _core.physical_cores())
            server = stack.enter_context(llama_server.LlamaServer(command))
            by_name[NGRAM] = llama_server.NgramContestant(server, model, config)
        return by_name

    def _answer(self, units: Sequence[Unit], done: int, by_name: dict[str, Contestant]) -> None:
        for number, (question, name) in enumerate(units[done:], done):
            self.progress("answering", number, len(units))
            attempts = answered(by_name[name], question, self.config.seed)
            outcome = Outcome(
                key=question.key,
                category=question.category,
                contestant=name,
                right=right_share(question, attempts[-1].text),
                attempts=attempts,
            )
            self.file.write(to_line(outcome.to_json()))
        self.progress("answering", len(units), len(units))

    # --- judges ------------------------------------------------------------------------------------

    def _written(self) -> Results:
        return read_results(self.folder / f"{RESULTS}.part")

    def _judge(self, path: Path, done: int) -> None:
        outcomes = self._written().outcomes
        by_key = {question.key: question for question in self.questions}
        with open_judge(str(path), self.config.n_threads) as model:
            judge = LikelihoodJudge(model)
            for number, outcome in enumerate(outcomes[done:], done):
                self.progress("judging", number, len(outcomes))
                scores = [judge.score(*turn) for turn in _turns(by_key[outcome.key], outcome)]
                known = [score for score in scores if score is not None]
                n_judged = sum(score.n_tokens for score in known)
                nats = round(sum(score.nats for score in known), 4) if n_judged else None
                self.file.write(_judged(outcome, {"nats": nats, "n_judged": n_judged}))
        self.progress("judging", len(outcomes), len(outcomes))

    def _prefer(self, url: str) -> None:
        """Asks the endpoint; its replies are kept, so that a failed run asks for what is missing only."""
        settings = endpoint.Settings(
            url=url,
            model=self.config.judge.name,
            api_key=os.environ.get("ASPD_JUDGE_API_KEY", ""),
            temperature=0,
            per_minute=self.config.judge.rate,
        )
        results = self._written()
        serial = results.of(SERIAL)
        others = [each for each in results.outcomes if each.contestant != SERIAL]
        by_key = {question.key: question for question in self.questions}
        found = []
        with endpoint.Endpoint(settings, self.folder / "judge.sqlite") as asked:
            for number, outcome in enumerate(others):
                self.progress("asking the judge", number, len(others))
                question = by_key[outcome.key].turns[-1]
                found.append(preference(asked.ask, question, outcome.text, serial[outcome.key].text))
        if others and all(each is None for each in found):
            raise DataError(settings.address, "no reply of the judge holds a verdict")
        for outcome, preferred in zip(others, found, strict=True):
            self.file.write(_judged(outcome, {"preferred": preferred}))


def _judged(outcome: Outcome, judged: Mapping[str, Any]) -> bytes:
    return to_line({"question": outcome.key, "contestant": outcome.contestant, "judged": judged})


def _turns(question: Question, outcome: Outcome) -> Iterator[tuple[list[Message], str]]:
    """The turns before each answer, and the answer."""
    messages: list[Message] = []
    for text, attempt in zip(question.turns, outcome.attempts, strict=True):
        messages.append({"role": "user", "content": text})
        yield list(messages), attempt.text
        messages.append({"role": "assistant", "content": attempt.text})
