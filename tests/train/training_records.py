"""Records of the pipeline to learn from."""

from __future__ import annotations

from pathlib import Path

from aspd_local import protocol
from aspd_local.data.example import BlockText, BranchText, Segment, TrunkText, plain_text
from aspd_local.data.record import Counts, Record, Split, to_line

FILE = protocol.load("aspd")


def record(question: str, *structure: Segment, split: Split = "train", cut: bool = False) -> Record:
    """A record of the pipeline."""
    return Record(
        prompt=question,
        messages=({"role": "user", "content": question},),
        answer=plain_text(structure),
        structure=structure,
        counts=Counts(unit="words", total=1, blocks=()),
        split=split,
        cut=cut,
    )


def block(**parts: str) -> BlockText:
    """A block with titles and texts."""
    return BlockText(branches=tuple(BranchText(title=title, text=text) for title, text in parts.items()))


STORY = record(
    "What is in the house?",
    TrunkText(text="The house has rooms:\n"),
    block(
        Kitchen="- the kitchen is warm\n", Cellar="- the cellar is dark and on the north\n", Attic="- dust\n"
    ),
    TrunkText(text="\nAnd the garden."),
)
PLAIN = record("Is it warm?", TrunkText(text="It is warm in the kitchen and in the attic."))


def write_set(path: Path, records: list[Record]) -> Path:
    """A file of `aspd data build`."""
    path.write_bytes(b"".join(map(to_line, records)))
    return path


def stories(n: int) -> list[Record]:
    """Records to learn from, every fourth serial, and four held out."""
    found = []
    for i in range(n + 4):
        split: Split = "train" if i < n else "valid"
        parts = {f"Room {i}{j}": f"- room {i}{j} is {'warm' if j % 2 else 'dark'}\n" for j in range(3)}
        lead = TrunkText(text=f"House {i} has rooms:\n")
        rooms = block(**parts) if i % 4 else TrunkText(text="".join(parts.values()))
        found.append(
            record(f"What is in house {i}?", lead, rooms, TrunkText(text="And a garden."), split=split)
        )
    return found
