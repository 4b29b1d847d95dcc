"""Two answers in parts, in short sentences: a model too small for instructions can imitate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aspd_local.chat import Message
    from aspd_local.protocol import ProtocolFile


@dataclass(frozen=True)
class _Example:
    question: str
    branches: dict[str, str]  # bodies by title
    closing: str


_EXAMPLES = (
    _Example(
        "Tell me about iron, gold and copper.",
        {
            "Iron": "Iron is a strong, grey metal. Bridges, ships and tools are made of steel, "
            "which is mostly iron.",
            "Gold": "Gold is a soft, yellow metal that never rusts. It is used for rings, coins and "
            "electronics.",
            "Copper": "Copper is a red metal that carries electricity well. Most wires are made of it.",
        },
        "All three have been used for thousands of years.",
    ),
    _Example(
        "Tell me about apples, bread, milk and rice.",
        {
            "Apples": "Apples grow on trees and are ripe in autumn. They taste sweet or sour and keep "
            "for months.",
            "Bread": "Bread is baked from flour, water and yeast. People have eaten it for thousands "
            "of years.",
            "Milk": "Milk comes from cows, goats and sheep. Butter and cheese are made from it.",
            "Rice": "Rice grows in warm, wet fields. It feeds half of the people on earth.",
        },
        "Together they make several good meals.",
    ),
)


def example_turns(protocol: str) -> list[Message]:
    """The examples as earlier turns of a chat, in the markup of a protocol with text markers; else none."""
    from aspd_local.protocol import load

    file = load(protocol)
    if file.markers != "text":
        return []
    turns: list[Message] = []
    for example in _EXAMPLES:
        turns.append({"role": "user", "content": example.question})
        turns.append({"role": "assistant", "content": _markup(file, example)})
    return turns


def _markup(file: ProtocolFile, example: _Example) -> str:
    plan = file.plan
    pieces = [plan["open"], "\n", *(title + plan["item_close"] for title in example.branches), plan["close"]]
    for title, body in example.branches.items():
        pieces += [title if part == "{title}" else part for part in file.branch_seed]
        pieces += [body, "\n", file.branch_close]
    return "".join([*pieces, *file.join_seed, example.closing])
