"""The example of a distributed trainer: two processes learn what one learns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_records import stories, write_set

from aspd_local import Model
from aspd_local.train.merging import Export, Types, export_model
from tiny.files import TinyModel

torch = pytest.importorskip("torch")

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_torchrun.py"


def learn(data: Path, base: Path, out: Path, n_processes: int) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(n_processes),
    ]
    flags = ["--base", base, "-o", out, "--epochs", 2, "--rows-per-step", 3, "--row-tokens", 96, "--rank", 4]
    done = subprocess.run(
        [*command, EXAMPLE, data, *map(str, flags), "--precision", "f32", "--learning-rate", "0.01"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pass 1 of 2\npass 2 of 2\n"


def test_two_processes_learn_what_one_learns(tiny_llama: TinyModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    data = write_set(tmp_path / "set.jsonl", stories(8))
    for n_processes in (1, 2):
        learn(data, tiny_llama.path, tmp_path / str(n_processes), n_processes)
    one, two = (load_file(tmp_path / str(n) / "weights.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    moved = [name for name in one if name.endswith("lora_B.default.weight") and one[name].abs().max() > 1e-3]
    assert moved
    for name in one:
        assert torch.allclose(one[name], two[name], atol=2e-4), name
    out = tmp_path / "model.gguf"
    (tmp_path / "between").mkdir()
    types = Types(weights="Q8_0", head="Q8_0")
    export_model(
        Export(source=tmp_path / "2", base=tiny_llama.path, out=out, types=types), tmp_path / "between"
    )
    with Model(out, n_ctx=256, profile="off") as model:
        assert model.protocol == "aspd"
