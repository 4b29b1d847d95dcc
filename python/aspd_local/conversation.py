"""What a model has said: answers that later turns begin with, and the last one, which a session file keeps.

Knows the engine by its retained cells alone; knows no templates.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aspd_local import _core
from aspd_local.history import SERIAL, History
from aspd_local.layout import Layout, structure
from aspd_local.prompting import Prepared, recalled_as
from aspd_local.steps import Steps
from aspd_local.translate import from_core, prefix, text_of, to_core


@dataclass(frozen=True)
class Last:
    """The last answer.

    Attributes:
        protocol: as Answer has it. layout: of prompt and answer. n_prompt: how many of its tokens are the
            prompt's.
    """

    protocol: str
    layout: Layout
    n_prompt: int


class Conversation:
    """See the module's text. For any number of threads.

    Args:
        model: whose answers these are. path: its file.
        steps: of its engine.
        history: where answers are remembered.
    """

    def __init__(self, model: _core.Model, path: Path, steps: Steps, history: History) -> None:
        self._model = model
        self._path = path
        self._steps = steps
        self._history = history
        self.last: Last | None = None

    def remember(self, prepared: Prepared, result: _core.Result) -> None:
        """Keeps a finished answer."""
        said = from_core(result.layout)
        name, asked = prepared.protocol, prepared.request.prompt
        if result.from_serial_prompt and prepared.request.serial_prompt is not None:
            name, asked = SERIAL, prepared.request.serial_prompt
        elif prepared.request.protocol is not None:
            name = recalled_as(prepared.request.protocol)
        if len(said) and self._spells(said, result, name):
            self._history.remember(name, result.text, structure(said))
        prompt = from_core(asked)
        self.last = Last(name, _concatenated(prompt, said), len(prompt))

    def save(self, path: str | os.PathLike[str]) -> None:
        """As Model.save_session()."""
        from aspd_local import session

        if self.last is None:
            raise ValueError("there is no answer to save yet")
        last = self.last
        with self._steps.inside() as engine:
            # Not decoded yet: the last token of an answer that was cut off, branches with which it ended.
            held = prefix(last.layout, engine.n_retained(to_core(last.layout)))
            if len(held) < last.n_prompt:
                raise ValueError("the cache no longer holds the last answer")
            answers, state = self._history.items(), engine.save_state(to_core(held))
        saved = session.Session(protocol=last.protocol, layout=held, answers=answers, state=state)
        session.save(path, self._path, self._model, saved)

    def load(self, path: str | os.PathLike[str]) -> None:
        """As Model.load_session()."""
        from aspd_local import session

        saved = session.load(path, self._path, self._model)
        with self._steps.inside() as engine:
            engine.load_state(to_core(saved.layout), saved.state)
        for name, text, segments in saved.answers:
            self._history.remember(name, text, segments)
        self.last = Last(saved.protocol, saved.layout, len(saved.layout))

    def reset(self) -> None:
        """As Model.reset()."""
        with self._steps.inside() as engine:
            engine.clear_retained()
        self._history.clear()
        self.last = None

    def _spells(self, said: Layout, result: _core.Result, name: str) -> bool:
        """Whether an answer's tokens are its text: what a stop string cut off must not come back."""
        if name != SERIAL:  # with titles twice, and markers: more than its text in any case
            return not result.stop_match
        ids = said.token_ids
        while ids and self._model.is_eog(ids[-1]):
            ids = ids[:-1]
        return text_of(self._model, ids) == result.text


def _concatenated(prompt: Layout, said: Layout) -> Layout:
    """The prompt and the answer; the engine has numbered the answer's blocks on from the prompt's."""
    return Layout(
        token_ids=prompt.token_ids + said.token_ids,
        positions=prompt.positions + said.positions,
        block_ids=prompt.block_ids + said.block_ids,
        branch_ids=prompt.branch_ids + said.branch_ids,
        next_position=said.next_position if said else prompt.next_position,
    )
