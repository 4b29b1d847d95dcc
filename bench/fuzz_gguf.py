"""Campaign against the strict GGUF reader: mutated files, each of which must be refused or must load.

Every file goes through the reader in this process. Those that pass are loaded in a child process, first the
vocabulary alone, then the model, which has to answer in three tokens. A child that dies is a finding, and its
file is kept. Knows nothing of what the reader checks.

    python bench/fuzz_gguf.py --files 20000 --seed 1

Base files are the tiny models of the tests and one model for each kind of vocabulary; more can be named.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import gguf_vocabularies
from gguf_mutations import mutate, read_base

from aspd_local import AspdError, Model, ModelError, _core

SECONDS = 120.0  # a child may take for one file
MEMORY = 8 << 30  # bytes a child may take
TEXT_TO_READ = "Hello  world,\n\tthe \u00e9t\u00e9 \U0001f600 <|im_start|> 123 \\ {x} z"


def load(path: str) -> str:
    """Loads a file in every way there is: "loaded", or the name of the error that was raised."""
    try:
        options = _core.ModelOptions()
        options.vocab_only = True
        vocabulary = _core.Model.load(path, options)
        vocabulary.tokenize(TEXT_TO_READ, parse_special=True)
        for token in range(vocabulary.n_vocab):
            vocabulary.piece(token, special=True)
        with Model(path, n_ctx=256, n_batch=64, n_lanes=4, n_threads=1, n_threads_batch=1) as model:
            model.generate(TEXT_TO_READ, max_tokens=3, temperature=0, parallel="off")
    except AspdError as error:
        return type(error).__name__
    except Exception as error:  # whatever it is, the process lives: count it
        return f"untyped {type(error).__name__}"
    return "loaded"


def serve(pipe: Connection) -> None:
    """The child: loads one path after the other."""
    logging.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while path := pipe.recv():
        pipe.send(load(path))


class Loader:
    """A child process that loads files; a new one after each death."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

    def load(self, path: Path) -> str:
        """The child's word, or how it died."""
        if self._child is None:
            self._pipe, other = self._context.Pipe()
            self._child = self._context.Process(target=serve, args=(other,), daemon=True)
            self._child.start()
            other.close()
        assert self._pipe is not None
        try:
            self._pipe.send(str(path))
            if self._pipe.poll(SECONDS):
                return str(self._pipe.recv())
            self._child.kill()
            return self._died("too slow")
        except (EOFError, OSError):
            return self._died("crashed")

    def _died(self, word: str) -> str:
        assert self._child is not None
        self._child.join()
        code, self._child = self._child.exitcode, None
        return f"{word} ({code})"

    def close(self) -> None:
        if self._child is not None and self._pipe is not None:
            self._pipe.send("")
            self._child.join()


def write_bases(folder: Path) -> list[Path]:
    """The tiny models of the tests, and one with each kind of vocabulary."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny import encoders, files

    writers: tuple[Callable[[Path], files.TinyModel], ...] = (
        files.write_llama, files.write_qwen2, files.write_cohere2, files.write_mamba, files.write_lfm2,
        files.write_rwkv7, encoders.write_t5, encoders.write_t5_encoder, encoders.write_bert,
    )  # fmt: skip
    bases = [write(folder / f"{write.__name__.removeprefix('write_')}.gguf").path for write in writers]
    kinds = gguf_vocabularies.VOCABULARIES
    return bases + [gguf_vocabularies.write(bases[0], kind, folder / f"{kind}.gguf") for kind in kinds]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bases", nargs="*", type=Path, help="more good files, tiny ones")
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, default=Path("findings"), help="folder for files that killed a child"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return campaign(arguments, Path(folder))


def campaign(arguments: argparse.Namespace, folder: Path) -> int:
    bases = [read_base(path.name, path.read_bytes()) for path in write_bases(folder) + arguments.bases]
    dice = random.Random(arguments.seed)
    loader = Loader()
    counts: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    path = folder / "mutated.gguf"
    for i in range(arguments.files):
        base = dice.choice(bases)
        name, data = mutate(base, dice)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            _core.check_gguf(str(path))
            word = ""
        except ModelError:
            word = "refused"
        slowest = max(slowest, time.perf_counter() - start)
        word = word or loader.load(path)
        counts[name, word] += 1
        if word.startswith(("crashed", "too slow")):
            arguments.keep.mkdir(exist_ok=True)
            kept = arguments.keep / f"{arguments.seed}-{i}-{base.name}"
            kept.write_bytes(data)
            print(f"{word}: {name}: {kept}", flush=True)
    loader.close()
    return report(counts, slowest, len(bases))


def report(counts: Counter[tuple[str, str]], slowest: float, n_bases: int) -> int:
    """Prints what came out; 1 when a child died."""
    words = Counter[str]()
    for (name, word), count in sorted(counts.items()):
        print(f"{count:8}  {name}: {word}")
        words[word] += count
    print(f"{words.total()} files from {n_bases} good ones, the slowest check took {1000 * slowest:.1f} ms")
    print(", ".join(f"{count} {word}" for word, count in words.most_common()))
    return int(any(word.startswith(("crashed", "too slow")) for word in words))


if __name__ == "__main__":
    sys.exit(main())
