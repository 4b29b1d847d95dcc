"""Writes the tiny models that the C++ tests decode with into a folder: `python write_tiny_models.py FOLDER`.

Needs the `test` extra.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tiny import stories  # noqa: E402
from tiny.encoders import write_bert, write_pooled_llama, write_t5  # noqa: E402
from tiny.files import write_cohere2, write_lfm2, write_llama, write_mamba, write_wide  # noqa: E402
from tiny.script import Script, write_scripted  # noqa: E402
from tiny.vocabulary import EOS, TITLE, TITLE_END  # noqa: E402

PROMPTED = [
    "Hm 1<plan>\nred\nblue\n</plan>",
    '"red">\nIt is wárm.\n</part>',
    '"blue">\nAs cold as 1 < 2.\n</part>',
    f"\n\nSo.{EOS}",
]
BROKEN_PLANS = {
    "one_title": stories.plan("a"),
    "title_twice": stories.plan("aba"),
    "no_end": f"{TITLE}a{TITLE_END}{EOS}",
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_llama(folder / "llama.gguf", seed=1)
    write_wide(folder / "wide.gguf", seed=2, n_layers=1)
    write_cohere2(folder / "cohere2.gguf", seed=3)
    write_mamba(folder / "mamba.gguf", seed=4)
    write_lfm2(folder / "lfm2.gguf", seed=5)
    write_t5(folder / "t5.gguf", seed=1)
    write_bert(folder / "bert.gguf", seed=7)
    write_pooled_llama(folder / "pooled.gguf", pooling=3, seed=3)
    write_scripted(folder / "forking.gguf", stories.forking("a", "bc", "def", "ghij"), seed=11)
    write_scripted(folder / "storyteller.gguf", stories.fixed(), seed=13)
    write_scripted(folder / "prompted.gguf", Script(PROMPTED), seed=14)
    for name, plan in BROKEN_PLANS.items():
        write_scripted(folder / f"{name}.gguf", Script([f": 1{plan}"], {"1": ["S"], "S": [EOS]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
