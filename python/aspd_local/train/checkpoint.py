"""What a training run keeps in its folder: settings, history, its state while it runs, what it has learnt.

Files are replaced whole: a run that is killed leaves the last one complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from aspd_local.errors import DataError
from aspd_local.sources.digest import sha256_of

RUN = "run.json"
HISTORY = "history.jsonl"
STATE = "state.pt"
WEIGHTS = "weights.safetensors"
PLOT = "loss.png"


class Folder:
    """The folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, run: Mapping[str, Any], *, resume: bool, force: bool) -> bool:
        """Makes the folder ready; True where a run goes on.

        Raises:
            DataError: something else is there, or what is to go on was another run.
        """
        there = self.path / RUN
        if there.exists() and resume:
            before = json.loads(there.read_text(encoding="utf-8"))
            changed = sorted(key for key in run if before.get(key) != run[key])
            if changed:
                raise DataError(
                    str(self.path), f"this run differs from the one to go on in: {', '.join(changed)}"
                )
            return (self.path / STATE).exists()
        if self.path.exists() and any(self.path.iterdir()) and not force:
            raise DataError(
                str(self.path), "the folder is not empty; --resume goes on with a run, --force replaces it"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (HISTORY, STATE, WEIGHTS, PLOT):
            (self.path / name).unlink(missing_ok=True)
        self._write_text(RUN, json.dumps(run, indent=2) + "\n")
        return False

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Keeps what --resume needs."""
        part = self.path / (STATE + ".part")
        torch.save(dict(state), part)
        part.replace(self.path / STATE)

    def load_state(self) -> dict[str, Any]:
        """The state that was kept. Raises DataError for a damaged one."""
        try:
            return dict(torch.load(self.path / STATE, weights_only=True))
        except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
            raise DataError(str(self.path / STATE), "damaged; --force begins anew") from error

    def save_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Keeps the best weights so far."""
        from safetensors.torch import save_file

        part = self.path / (WEIGHTS + ".part")
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, part)
        part.replace(self.path / WEIGHTS)

    def save_history(self, history: list[dict[str, Any]]) -> None:
        """One line for each step and each look at the held-out examples."""
        self._write_text(HISTORY, "".join(json.dumps(entry) + "\n" for entry in history))

    def read_history(self) -> list[dict[str, Any]]:
        """What save_history() wrote."""
        path = self.path / HISTORY
        return (
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if path.exists()
            else []
        )

    def _write_text(self, name: str, text: str) -> None:
        part = self.path / (name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(self.path / name)


def digest(path: Path) -> str:
    """sha256 of a file; of a folder, that of its files' names and sizes."""
    if not path.is_dir():
        return sha256_of(path)
    listing = sorted(
        (str(each.relative_to(path)), each.stat().st_size) for each in path.rglob("*") if each.is_file()
    )
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
