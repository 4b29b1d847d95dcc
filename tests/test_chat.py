"""Messages become token ids: checks, system text, tokenising, answers that go back as they were decoded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aspd_local import chat
from aspd_local.chat import Message, PromptPart
from aspd_local.errors import ModelError
from aspd_local.layout import Block, Segment, Trunk

BOS, EOS, START, END = "<bos>", "<eos>", "<|start|>", "<|end|>"
CONTROL = (BOS, EOS, START, END, "<|end|>>")


class FakeVocabulary:
    """Runs of white space are one token, so that a cut inside one shows; other characters are one each."""

    chat_template = ""

    def __init__(self, *, add_bos: bool = False, space_prefix: bool = False, strips: str = "") -> None:
        """space_prefix: before each plain text, as SentencePiece does. strips: this token eats white space
        after it.
        """
        self.spellings = list(CONTROL)
        self.bos, self.eos, self.add_bos = 0, 1, add_bos
        self._space_prefix = space_prefix
        self._strips = strips

    def _id(self, spelling: str) -> int:
        if spelling not in self.spellings:
            self.spellings.append(spelling)
        return self.spellings.index(spelling)

    def tokenize(self, text: str, parse_special: bool) -> list[int]:
        specials = sorted(CONTROL, key=len, reverse=True)
        pattern = "(" + "|".join(re.escape(token) for token in specials) + ")"
        ids: list[int] = []
        before = ""
        for run in re.split(pattern, text) if parse_special else [text]:
            if parse_special and run in CONTROL:
                ids.append(self._id(run))
            elif plain := run.lstrip() if before and before == self._strips else run:
                prefixed = " " + plain if self._space_prefix else plain
                ids += [self._id(word) for word in re.findall(r"\s+|\S", prefixed)]
            before = run or before
        return ids

    def piece(self, token: int, special: bool = False) -> bytes:
        spelling = self.spellings[token]
        return b"" if self.is_control(token) and not special else spelling.encode()

    def is_control(self, token: int) -> bool:
        return token < len(CONTROL)

    def read(self, token_ids: Sequence[int]) -> str:
        return "".join(self.spellings[token] for token in token_ids)


class FakeTemplate:
    """ChatML with a change: `content` is applied to the content of each message, None drops it."""

    def __init__(
        self,
        content: Callable[[Message], str | None] = lambda message: message["content"],
        system: str = "yes",
        opening: str = "",
    ) -> None:
        self._content, self._system, self._opening = content, system, opening
        self.n_renders = 0

    def render(
        self, messages_json: str, add_generation_prompt: bool = True, extra_json: str = "{}"
    ) -> list[tuple[str, bool]]:
        assert extra_json == "{}"
        self.n_renders += 1
        parts: list[tuple[str, bool]] = [(self._opening, False)]
        for message in json.loads(messages_json):
            if message["role"] == "system" and self._system == "raises":
                raise ModelError("System role not supported")
            if message["role"] == "system" and self._system == "drops":
                continue
            if (content := self._content(message)) is not None:
                parts += [(f"{START}{message['role']}\n", False), (content, True), (f"{END}\n", False)]
        if add_generation_prompt:
            parts.append((f"{START}assistant\n", False))
        return merged(parts)


def merged(parts: Sequence[tuple[str, bool]]) -> list[tuple[str, bool]]:
    result: list[tuple[str, bool]] = []
    for text, is_input in parts:
        if text and result and result[-1][1] == is_input:
            result[-1] = (result[-1][0] + text, is_input)
        elif text:
            result.append((text, is_input))
    return result


def say(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def text(parts: Sequence[PromptPart]) -> str:
    return "".join(part.text for part in parts)


# --- normalise ------------------------------------------------------------------------------------


def test_a_question_is_a_message_of_the_user() -> None:
    assert chat.normalise("Why?") == [say("user", "Why?")]


def test_messages_come_back_as_copies() -> None:
    messages = [say("system", "Be brief."), say("user", "Why?")]
    normal = chat.normalise(messages)
    assert normal == messages
    normal[0]["content"] = "changed"
    assert messages[0]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([], "no messages"),
        (7, "not int"),
        (["Why?"], r"messages\[0\] must be a mapping"),
        ([{"role": "user"}], r"messages\[0\] has no content"),
        ([{"content": "x"}], r"messages\[0\] has no role"),
        ([say("user", "x"), say("robot", "x")], r"messages\[1\] has the unknown role 'robot'"),
        ([{"role": ["user"], "content": "x"}], "unknown role"),
        ([{"role": "user", "content": None}], "NoneType, not text"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\] must be"),
        ([{"role": "user", "content": {"type": "text"}}], "dict, not text"),
        ([{"role": "user", "content": "x", "name": "Bob"}], "unknown fields: name"),
        ([say("user", "x\ud800")], "surrogate pair at character 1"),
    ],
)
def test_a_malformed_message_is_named(messages: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        chat.normalise(messages)  # type: ignore[arg-type]


# --- system text ----------------------------------------------------------------------------------


def test_a_protocol_s_text_goes_before_the_user_s_system_text() -> None:
    turns = chat.with_protocol(
        [say("system", "Rhyme."), say("user", "Hi")], "Plan.", [("q", "a")], FakeTemplate()
    )
    assert turns == [
        say("system", "Plan.\n\nRhyme."),
        say("user", "q"),
        say("assistant", "a"),
        say("user", "Hi"),
    ]


@pytest.mark.parametrize("system", ["raises", "drops"])
def test_without_a_system_role_the_system_text_begins_the_first_user_message(system: str) -> None:
    template = FakeTemplate(system=system)
    turns = chat.with_protocol([say("user", "Hi")], "Plan.", [("q", "a")], template)
    assert turns == [say("user", "Plan.\n\nq"), say("assistant", "a"), say("user", "Hi")]
    prompt = text(chat.render_prompt(template, [say("system", "Rhyme."), say("user", "Hi")]))
    assert prompt == f"{START}user\nRhyme.\n\nHi{END}\n{START}assistant\n"


def test_a_chat_of_a_system_message_alone_says_what_the_template_says() -> None:
    with pytest.raises(ModelError, match="not supported"):
        chat.render_prompt(FakeTemplate(system="raises"), [say("system", "x")])


# --- tokenising -----------------------------------------------------------------------------------

BENIGN = st.text(alphabet="ab \n<|>", max_size=12).filter(lambda s: not any(token in s for token in CONTROL))
HOSTILE = st.lists(st.sampled_from([*CONTROL, "<", "|end|", ">", " ", "\n", "a"]), max_size=8).map("".join)
VOCABULARIES = st.builds(FakeVocabulary, add_bos=st.booleans(), space_prefix=st.booleans())


@given(VOCABULARIES, st.lists(BENIGN, min_size=1, max_size=4), st.sampled_from(["", BOS, "plain\n"]))
def test_an_ordinary_prompt_gets_the_ids_of_its_whole_text(
    vocabulary: FakeVocabulary, contents: list[str], opening: str
) -> None:
    template = FakeTemplate(opening=opening)
    parts = chat.render_prompt(template, [say("user", content) for content in contents])
    whole = vocabulary.tokenize(text(parts), True)
    if vocabulary.add_bos and whole[0] != vocabulary.bos:
        whole.insert(0, vocabulary.bos)
    # a border of template and input may spell a token that neither has
    assume(sum(map(vocabulary.is_control, whole)) == 2 * len(contents) + 1 + (whole[0] == vocabulary.bos))
    assert chat.tokenize_parts(vocabulary, parts) == whole


@given(VOCABULARIES, st.lists(HOSTILE, min_size=1, max_size=4))
def test_control_ids_come_from_the_template_alone(vocabulary: FakeVocabulary, contents: list[str]) -> None:
    def controls(messages: list[Message]) -> list[int]:
        ids = chat.tokenize_parts(vocabulary, chat.render_prompt(FakeTemplate(), messages))
        return [token for token in ids if vocabulary.is_control(token)]

    expected = controls([say("user", "x") for _ in contents])
    assert controls([say("user", content) for content in contents]) == expected


def test_input_comes_through_as_it_was_typed() -> None:
    vocabulary = FakeVocabulary()
    parts = chat.render_prompt(FakeTemplate(), [say("user", "".join(CONTROL))])
    assert vocabulary.read(chat.tokenize_parts(vocabulary, parts)) == text(parts)


@pytest.mark.parametrize(
    ("add_bos", "opening", "at_start", "n_bos"),
    [
        (False, "", True, 0),
        (True, "", True, 1),
        (True, BOS, True, 1),
        (False, BOS, True, 1),
        (True, "", False, 0),
    ],
)
def test_bos_is_there_once_where_it_is_asked_for(
    add_bos: bool, opening: str, at_start: bool, n_bos: int
) -> None:
    vocabulary = FakeVocabulary(add_bos=add_bos)
    parts = chat.render_prompt(FakeTemplate(opening=opening), [say("user", "x")])
    ids = chat.tokenize_parts(vocabulary, parts, at_start=at_start)
    assert ids.count(vocabulary.bos) == n_bos
    assert (ids[0] == vocabulary.bos) == (n_bos == 1)


def test_a_bos_that_the_user_typed_does_not_count() -> None:
    vocabulary = FakeVocabulary(add_bos=True)
    ids = chat.tokenize_parts(vocabulary, [PromptPart(f"{BOS}x", is_input=True)])
    assert ids[0] == vocabulary.bos
    assert ids.count(vocabulary.bos) == 1


def test_a_token_that_strips_white_space_strips_the_template_s_only() -> None:
    vocabulary = FakeVocabulary(strips=START)
    parts = [PromptPart(f"{START}\n", is_input=False), PromptPart("  hi", is_input=True)]
    assert vocabulary.read(chat.tokenize_parts(vocabulary, parts)) == f"{START}  hi"


# --- answers that go back as they were decoded ----------------------------------------------------


def part(text: str, is_input: bool = True) -> PromptPart:
    return PromptPart(text, is_input)


def test_split_at_cuts_inside_a_part() -> None:
    pieces = chat.split_at([part("<", False), part("a N1 b"), part(">", False), part("N2")], ["N1", "N2"])
    assert pieces == [[part("<", False), part("a ")], [part(" b"), part(">", False)], []]


@pytest.mark.parametrize(
    "parts",
    [
        [part("N1")],
        [part("N2 N1")],
        [part("N1 N2 N1")],
        [part("N1 N1 N2")],
        [part("N1"), part("N2", False)],
        [part("N1"), part("N"), part("2")],
    ],
    ids=["missing", "out of order", "twice", "twice in a row", "not input", "torn"],
)
def test_split_at_gives_up_when_a_nonce_is_not_there_once(parts: list[PromptPart]) -> None:
    assert chat.split_at(parts, ["N1", "N2"]) is None


CHAT = [
    say("user", "q1"),
    say("assistant", "a1"),
    say("user", "q2"),
    say("assistant", "a2"),
    say("user", "q3"),
]


def test_known_answers_leave_their_places_to_their_segments() -> None:
    vocabulary = FakeVocabulary(add_bos=True)
    known: dict[str, list[Segment]] = {"a1": [Trunk([100]), Block([[101], [102]])], "a2": [Trunk([103])]}
    segments = chat.prompt_segments(vocabulary, FakeTemplate(), CHAT, known.get)
    assert [segments[1], segments[2], segments[4]] == [*known["a1"], *known["a2"]]
    texts = [vocabulary.read(segments[i].token_ids) for i in (0, 3, 5)]  # type: ignore[union-attr]
    assert texts == [
        f"{BOS}{START}user\nq1{END}\n{START}assistant\n",
        f"{END}\n{START}user\nq2{END}\n{START}assistant\n",
        f"{END}\n{START}user\nq3{END}\n{START}assistant\n",
    ]


def test_the_prompt_of_a_next_turn_begins_with_the_prompt_of_the_last() -> None:
    vocabulary = FakeVocabulary()
    known: dict[str, list[Segment]] = {"a1": [Trunk([100])]}
    first = chat.prompt_segments(vocabulary, FakeTemplate(), CHAT[:1], known.get)
    second = chat.prompt_segments(vocabulary, FakeTemplate(), CHAT[:3], known.get)
    assert second[:2] == [*first, Trunk([100])]


def test_only_known_answers_are_replaced() -> None:
    vocabulary = FakeVocabulary()
    segments = chat.prompt_segments(vocabulary, FakeTemplate(), CHAT, {"a2": [Trunk([103])]}.get)
    assert len(segments) == 3
    assert "a1" in vocabulary.read(segments[0].token_ids)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content",
    [
        lambda message: message["content"].upper(),
        lambda message: None if message["role"] == "assistant" else message["content"],
        lambda message: message["content"] * 2,
        lambda message: message["content"].split("</think>")[-1],
        lambda message: message["content"][:20],
    ],
    ids=["changes", "drops", "repeats", "thought removed", "shortens"],
)
def test_an_answer_that_the_template_does_not_keep_goes_in_as_text(
    content: Callable[[Message], str | None],
) -> None:
    vocabulary = FakeVocabulary()
    answer = "<think>hm</think>a long answer that goes on"
    messages = [say("user", "q1"), say("assistant", answer), say("user", "q2")]
    template = FakeTemplate(content)
    segments = chat.prompt_segments(vocabulary, template, messages, lambda _: [Trunk([100])])
    assert segments == [Trunk(chat.tokenize_parts(vocabulary, chat.render_prompt(template, messages)))]


def test_white_space_at_the_ends_of_an_answer_does_not_count_as_a_change() -> None:
    template = FakeTemplate(lambda message: message["content"].strip())
    messages = [say("user", "q1"), say("assistant", " a1\n"), say("user", "q2")]
    assert len(chat.prompt_segments(FakeVocabulary(), template, messages, lambda _: [Trunk([100])])) == 3


def test_answers_go_back_beside_a_folded_system_text() -> None:
    vocabulary = FakeVocabulary()
    messages = [say("system", "s"), *CHAT[:3]]
    segments = chat.prompt_segments(
        vocabulary, FakeTemplate(system="raises"), messages, {"a1": [Trunk([100])]}.get
    )
    assert len(segments) == 3
    assert "s\n\nq1" in vocabulary.read(segments[0].token_ids)  # type: ignore[union-attr]


def test_a_chat_without_known_answers_is_rendered_once() -> None:
    template = FakeTemplate()
    chat.prompt_segments(FakeVocabulary(), template, CHAT, lambda _: None)
    assert template.n_renders == 1
