"""Token ids of a base model's texts, as the engine will have them when it decodes.

A GGUF file is tokenised by the engine's own core (vocabulary only, no weights), its chat template is rendered
by llama.cpp's Jinja: training and decoding cannot differ. A Hugging Face folder is tokenised by its own
tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aspd_local import chat
from aspd_local.errors import ModelError
from aspd_local.train.markers import TokenInfo

if TYPE_CHECKING:
    from aspd_local.chat import Message


class Vocabulary(Protocol):
    """What training needs of a vocabulary."""

    @property
    def template(self) -> str:
        """The chat template's source; empty: none."""
        ...

    def tokens(self) -> list[TokenInfo]:
        """All tokens, [n_vocab]."""
        ...

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text in which nothing is special, [n_tokens]."""
        ...

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat up to where the assistant begins. Raises ModelError."""
        ...

    def end_of_turn(self, messages: Sequence[Message]) -> int:
        """The token that ends an assistant's turn. Raises ModelError."""
        ...


def open_vocabulary(base: Path) -> Vocabulary:
    """The vocabulary of a GGUF file or of a Hugging Face folder.

    Raises:
        ModelError: there is none, or it has no chat template.
    """
    vocabulary: Vocabulary = FolderVocabulary(base) if base.is_dir() else GgufVocabulary(base)
    if not vocabulary.template:
        raise ModelError("the base has no chat template: train an instruct model", str(base))
    return vocabulary


class GgufVocabulary:
    """The vocabulary of a GGUF file."""

    def __init__(self, path: Path) -> None:
        from aspd_local import _core

        options = _core.ModelOptions()
        options.vocab_only = True
        self._path = path
        self._model = _core.Model.load(str(path), options)
        self._template = chat.compile_template(self._model) if self._model.chat_template else None

    @property
    def template(self) -> str:
        return self._model.chat_template

    def tokens(self) -> list[TokenInfo]:
        kinds = token_kinds(self._path)
        metadata = self._model.metadata()
        named = {
            int(value)
            for key, value in metadata.items()
            if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and value.isdecimal()
        }
        found = []
        for token in range(self._model.n_vocab):
            special = token in named or self._model.is_eog(token)
            kind = kinds[token] if token < len(kinds) else 5
            text = self._model.piece(token, True).decode(errors="replace")
            found.append(TokenInfo(text, _KINDS.get(kind, "normal"), special))
        return found

    def tokenize(self, text: str) -> list[int]:
        return self._model.tokenize(text, False)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        assert self._template is not None
        parts = chat.render_prompt(self._template, chat.normalise(list(messages)))
        return chat.tokenize_parts(self._model, parts)

    def end_of_turn(self, messages: Sequence[Message]) -> int:
        assert self._template is not None
        answer: Message = {"role": "assistant", "content": "Yes."}
        turns = chat.fit_system(self._template, [*messages, answer])
        parts = chat.render_prompt(self._template, turns, False)
        ids = chat.tokenize_parts(self._model, parts)
        opened = len(self.prompt(messages))
        ends = (token for token in ids[opened:] if self._model.is_eog(token))
        return next(ends, self._model.eos)


_KINDS: Mapping[int, Any] = {1: "normal", 2: "normal", 3: "control", 4: "user", 5: "unused", 6: "normal"}


def token_kinds(path: Path) -> list[int]:
    """`tokenizer.ggml.token_type` of a GGUF file, [n_vocab]."""
    from gguf import GGUFReader

    field = GGUFReader(path).get_field("tokenizer.ggml.token_type")
    return [int(kind) for kind in field.contents()] if field is not None else []


class FolderVocabulary:
    """The tokenizer of a Hugging Face folder."""

    def __init__(self, path: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(f"no tokenizer: {reason}", str(path)) from error
        self._path = path

    @property
    def template(self) -> str:
        template = self._tokenizer.chat_template
        return template if isinstance(template, str) else ""

    def tokens(self) -> list[TokenInfo]:
        named = set(self._tokenizer.all_special_ids)
        added = self._tokenizer.added_tokens_decoder
        size = max(len(self._tokenizer), self._rows())
        texts = self._tokenizer.convert_ids_to_tokens(list(range(len(self._tokenizer))))
        found = []
        for token in range(size):
            if token >= len(texts) or texts[token] is None:
                found.append(TokenInfo(f"[PAD{token}]", "unused"))
            elif token in added:
                kind: Any = "control" if added[token].special else "user"
                found.append(TokenInfo(texts[token], kind, self._has_task(token, named)))
            else:
                found.append(TokenInfo(texts[token], "normal"))
        return found

    def _has_task(self, token: int, named: set[int]) -> bool:
        tokenizer = self._tokenizer
        tasks = {
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
            tokenizer.unk_token_id,
        }
        return token in tasks and token in named

    def _rows(self) -> int:
        """Rows of the embedding: some have more than the tokenizer has tokens."""
        config = json.loads((self._path / "config.json").read_text(encoding="utf-8"))
        return int(config.get("vocab_size", 0))

    def tokenize(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def _special(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _render(self, messages: Sequence[Message], generation_prompt: bool) -> list[chat.PromptPart]:
        """What came from a message is told from what the template wrote by words that nobody else writes."""
        nonces = [f"aspd{i:04d}nonce" for i in range(len(messages))]
        marked = [
            {"role": message["role"], "content": nonce}
            for message, nonce in zip(messages, nonces, strict=True)
        ]
        text = self._tokenizer.apply_chat_template(
            marked, tokenize=False, add_generation_prompt=generation_prompt
        )
        parts: list[chat.PromptPart] = []
        for message, nonce in zip(messages, nonces, strict=True):
            before, found, text = text.partition(nonce)
            if not found:
                raise ModelError("the chat template drops a message", str(self._path))
            parts += [chat.PromptPart(before, False), chat.PromptPart(message["content"], True)]
        return [*parts, chat.PromptPart(text, False)]

    def _ids(self, parts: Sequence[chat.PromptPart]) -> list[int]:
        return [
            token
            for part in parts
            for token in (self.tokenize(part.text) if part.is_input else self._special(part.text))
        ]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        return self._ids(self._render(messages, True))

    def end_of_turn(self, messages: Sequence[Message]) -> int:
        answer: Message = {"role": "assistant", "content": "Yes."}
        after = self._render([*messages, answer], False)[-1]
        special = set(self._tokenizer.all_special_ids)
        ends = (token for token in self._special(after.text) if token in special)
        return next(ends, int(self._tokenizer.eos_token_id))
