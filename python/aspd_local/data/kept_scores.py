"""Scores on disk: other thresholds, or another run over the same answers, need no model time again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import TracebackType

from aspd_local.data.example import Example, Run
from aspd_local.data.scoring import BlockScores, BranchScores, Scorer
from aspd_local.errors import DataError


class KeptScores:
    """A scorer that remembers what another one found. Use as a context, or close() it."""

    def __init__(self, scorer: Scorer, name: str, path: Path) -> None:
        """name: of the model, as the user gave it. path: an SQLite file, made where there is none.

        Raises: DataError when the file cannot be used.
        """
        self._scorer, self._name = scorer, name
        try:
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
            self._db.execute("CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, scores TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise DataError(str(path), f"no file of scores: {error}") from None

    def count(self, text: str) -> int:
        return self._scorer.count(text)

    def score(
        self, example: Example, run: Run, foreign: Sequence[str], *, max_tokens: int, tail_tokens: int
    ) -> BlockScores | None:
        asked = [self._name, example.prompt_key().hex(), example.answer, run.spans, run.titles, foreign]
        key = sha256(json.dumps([*asked, max_tokens, tail_tokens]).encode()).digest()
        row = self._db.execute("SELECT scores FROM scores WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return _read(row[0])
        found = self._scorer.score(example, run, foreign, max_tokens=max_tokens, tail_tokens=tail_tokens)
        written = json.dumps(None if found is None else asdict(found), separators=(",", ":"))
        self._db.execute("INSERT OR REPLACE INTO scores VALUES (?, ?)", (key, written))
        return found

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> KeptScores:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(text: str) -> BlockScores | None:
    fields = json.loads(text)
    if fields is None:
        return None
    branches = tuple(
        BranchScores(
            alone=tuple(each["alone"]),
            true=tuple(each["true"]),
            foreign=tuple(each["foreign"]),
            words=tuple(each["words"]),
        )
        for each in fields["branches"]
    )
    return BlockScores(
        branches=branches,
        tail_serial=tuple(fields["tail_serial"]),
        tail_joined=tuple(fields["tail_joined"]),
        n_tokens=fields["n_tokens"],
    )
