"""`aspd` as a program of its own, with a model that says the same slowly every time."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from fake_model import FakeModel, tell

from aspd_local.cli import progress
from aspd_local.cli.app import main

SECONDS_A_PIECE = float(os.environ.get("SECONDS_A_PIECE", "0"))
LONG = tell(
    "Two:", {"Sleep": "one two three", "Food": "four five six"}, "\n\nThat is all. " + "More. " * 2000
)
STORY = tell(os.environ["STORY"]) if "STORY" in os.environ else LONG


def note_questions(model: FakeModel, file: Path) -> None:
    questions = [messages[-1]["content"] for messages, _ in model.asked]
    file.write_text(json.dumps(questions))


if __name__ == "__main__":
    model = FakeModel(STORY)
    model.before = lambda _: time.sleep(SECONDS_A_PIECE)
    if "ASKED" in os.environ:
        model.before = lambda _: note_questions(model, Path(os.environ["ASKED"]))
    progress.open_model = lambda _flags, _settings=None: model  # type: ignore[assignment,return-value]
    if os.isatty(0):
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # Ctrl-C of this terminal is for this process
    main()
