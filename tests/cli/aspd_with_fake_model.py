"""`aspd` as a program of its own, with a model that says the same slowly every time."""

from __future__ import annotations

import os
import time

from fake_model import FakeModel, tell

from aspd_local.cli import progress
from aspd_local.cli.app import main

SECONDS_A_PIECE = float(os.environ.get("SECONDS_A_PIECE", "0"))
STORY = tell(
    "Two:", {"Sleep": "one two three", "Food": "four five six"}, "\n\nThat is all. " + "More. " * 2000
)

if __name__ == "__main__":
    model = FakeModel(STORY)
    model.before = lambda _: time.sleep(SECONDS_A_PIECE)
    progress.open_model = lambda _flags, _settings=None: model  # type: ignore[assignment,return-value]
    if os.isatty(0):
        os.close(os.open(os.ttyname(0), os.O_RDWR))  # Ctrl-C of this terminal is for this process
    main()
