"""Six CONTROL tokens for the markers of a protocol: those that the vocabulary has, else unused ones taken
over, else new ones. Knows token lists, not models.

Source: DESIGN, section 7: a marker that is no CONTROL token could be typed by a user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from aspd_local.errors import ProtocolError
from aspd_local.protocol import ProtocolFile

TokenKind = Literal["normal", "control", "unused", "user"]

_SPARE = re.compile(
    r"reserved|unused|placeholder|extra|dummy|\[?PAD\]?\d|control_\d|special_?\d", re.IGNORECASE
)


class TokenInfo(NamedTuple):
    """A token of a vocabulary. is_special: it has a task: BOS, end of generation, padding, infilling."""

    text: str
    kind: TokenKind
    is_special: bool = False


@dataclass(frozen=True, kw_only=True)
class Markers:
    """The tokens of a protocol's markers.

    Attributes:
        protocol: its name.
        ids: marker -> token id.
        spellings: marker -> how its token is spelt from now on.
        n_vocab: tokens of the vocabulary before.
        how: "present", "taken over" or "new".
    """

    protocol: str
    ids: Mapping[str, int]
    spellings: Mapping[str, str]
    n_vocab: int
    how: Literal["present", "taken over", "new"]

    @property
    def n_new(self) -> int:
        """Tokens that the vocabulary must grow by."""
        return sum(token >= self.n_vocab for token in self.ids.values())


def choose_markers(tokens: Sequence[TokenInfo], template: str, file: ProtocolFile) -> Markers:
    """Tokens for the markers of a protocol.

    Args:
        tokens: the vocabulary, [n_vocab].
        template: the chat template; tokens that it writes are not free.

    Raises:
        ProtocolError: a marker's spelling belongs to a token that is not a CONTROL token, or only some of the
            markers are there.
    """
    found: dict[str, int] = {}
    by_text = {token.text: i for i, token in enumerate(tokens)}
    for name, spellings in file.vocabulary.items():
        present = [by_text[spelling] for spelling in spellings if spelling in by_text]
        if present and tokens[present[0]].kind != "control":
            text = tokens[present[0]].text
            raise ProtocolError(
                file.name, f"the marker {name} clashes: {text!r} is token {present[0]} and no CONTROL token"
            )
        if present:
            found[name] = present[0]
    names = list(file.vocabulary)
    spelt = {name: file.vocabulary[name][0] for name in names}
    if len(found) == len(names):
        own = {name: tokens[token].text for name, token in found.items()}
        return Markers(protocol=file.name, ids=found, spellings=own, n_vocab=len(tokens), how="present")
    if found:
        there = ", ".join(sorted(found))
        raise ProtocolError(file.name, f"the vocabulary has some of the markers, not all: {there}")
    spare = _spare(tokens, template)[: len(names)]
    if len(spare) == len(names):
        ids = dict(zip(names, spare, strict=True))
        return Markers(protocol=file.name, ids=ids, spellings=spelt, n_vocab=len(tokens), how="taken over")
    ids = {name: len(tokens) + i for i, name in enumerate(names)}
    return Markers(protocol=file.name, ids=ids, spellings=spelt, n_vocab=len(tokens), how="new")


def _spare(tokens: Sequence[TokenInfo], template: str) -> list[int]:
    """Tokens that nothing needs: those that say so first, then CONTROL tokens without a task."""
    free = [
        i
        for i, token in enumerate(tokens)
        if token.kind in ("control", "unused") and not token.is_special and token.text not in template
    ]
    named = [i for i in free if tokens[i].kind == "unused" or _SPARE.search(tokens[i].text)]
    return named + [i for i in free if i not in set(named)]
