"""A byte-level BPE vocabulary of about 300 tokens, with chat and branch markers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from gguf import TokenType

BOS, EOS, TURN_START, TURN_END = "<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>"
TITLE, TITLE_END, PARA, PARA_END, BRANCH, BRANCH_END = MARKERS = (
    "<|title|>",
    "<|/title|>",
    "<|para|>",
    "<|/para|>",
    "<|branch|>",
    "<|/branch|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_MERGES = (
    "Ġ t", "h e", "Ġt he", "i n", "Ġ a", "a n", "an d", "Ġ and", "e r", "o n", "r e", "Ġ w", "Ġ s", "o u",
    "Ġ o", "Ġo f", "e s", "i s", "o r", "Ġ b", "in g", "e n", "l l", "Ġ f", "a t", "i t", "Ġ i", "Ġi s",
    "Ġi n", "u r",
)  # fmt: skip
# How the "gpt-2" pre-tokenizer cuts ASCII text.
_WORDS = re.compile(
    r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+|[^\x00-\x7f]+", re.ASCII
)


def _byte_characters() -> dict[int, str]:
    """How byte-level BPE writes each byte as one printable character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


_CHARACTERS = _byte_characters()


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """markers: type of the six branch markers in the vocabulary, or "absent"."""

    markers: Literal["control", "user_defined", "absent"] = "control"

    @property
    def pre(self) -> str:
        return "gpt-2"

    @property
    def merges(self) -> list[str]:
        return list(_MERGES)

    @cached_property
    def tokens(self) -> list[str]:
        """Spelling of each token as the GGUF file has it, [n_vocab]."""
        merged = [merge.replace(" ", "") for merge in _MERGES]
        markers = () if self.markers == "absent" else MARKERS
        return [*_CHARACTERS.values(), *merged, BOS, EOS, TURN_START, TURN_END, *markers]

    @cached_property
    def types(self) -> list[int]:
        """Type of each token, [n_vocab]."""
        marker_type = TokenType.USER_DEFINED if self.markers == "user_defined" else TokenType.CONTROL
        special = {BOS, EOS, TURN_START, TURN_END}
        types = {**dict.fromkeys(special, TokenType.CONTROL), **dict.fromkeys(MARKERS, marker_type)}
        return [int(types.get(token, TokenType.NORMAL)) for token in self.tokens]

    @cached_property
    def ids(self) -> Mapping[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, token: str) -> int:
        return self.ids[token]

    def encode(self, text: str) -> list[int]:
        """Token ids of a text in which markers and chat tokens are spelt out.

        Lone bytes are written as Python's "surrogateescape" writes them: "\\udca9" is 0xA9.
        """
        special = [
            token for token, kind in zip(self.tokens, self.types, strict=True) if kind != TokenType.NORMAL
        ]
        result: list[int] = []
        for part in re.split("(" + "|".join(map(re.escape, special)) + ")", text):
            if part in special:
                result.append(self[part])
            else:
                for word in _WORDS.findall(part):
                    result.extend(self._encode_word(word))
        return result

    def decode(self, token_ids: list[int]) -> str:
        """Text of token ids, markers spelt out. Raises UnicodeDecodeError for broken UTF-8."""
        values = {character: byte for byte, character in _CHARACTERS.items()}
        result = b""
        for token_id in token_ids:
            token = self.tokens[token_id]
            if self.types[token_id] == TokenType.NORMAL:
                result += bytes(values[character] for character in token)
            else:
                result += token.encode()
        return result.decode()

    def _encode_word(self, word: str) -> list[int]:
        pieces = [_CHARACTERS[byte] for byte in word.encode(errors="surrogateescape")]
        for merge in _MERGES:  # in the order of their rank
            left, right = merge.split(" ")
            i = 0
            while i + 1 < len(pieces):
                if (pieces[i], pieces[i + 1]) == (left, right):
                    pieces[i : i + 2] = [left + right]
                i += 1
        return [self[piece] for piece in pieces]
