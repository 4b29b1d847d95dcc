"""bench/as_met.py and what reads its answers: the corpus, titled lists, faults, the summary, blind pairs."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import as_met
import as_met_summary
import blind_pairs
import many_texts
import pytest
import questions
import shown_lists
from questions import OwnQuestion
from shown_lists import has_titled_list
from typing_extensions import Unpack
from visible_faults import visible_faults

from aspd_local.chat import Message
from aspd_local.events import Done, End, Event, Fork, Join, Text
from aspd_local.results import Answer, Block, Branch, Timings, Usage
from aspd_local.typing import AnswerOptions

LANGUAGES = ("de", "en", "es", "fr", "ja", "pt", "ru", "zh")
Row = dict[str, Any]

# --- the corpus ----------------------------------------------------------------------------------------


def test_corpus_has_22_questions_in_each_language_12_of_them_with_titles() -> None:
    found = questions.corpus()
    assert Counter(each.language for each in found) == dict.fromkeys(LANGUAGES, 22)
    assert Counter(each.language for each in found if each.kind == "list") == dict.fromkeys(LANGUAGES, 12)
    assert sum(each.kind in ("recipe", "steps", "derivation") for each in found) >= 42


def test_procedures_are_five_of_each_language_besides_code() -> None:
    found = questions.corpus(questions.PROCEDURES)
    procedures = [each for each in found if each.kind != "code"]
    assert Counter(each.language for each in procedures) == dict.fromkeys(LANGUAGES, 5)
    assert {each.kind for each in procedures} == {"recipe", "steps", "derivation"}
    assert {each.language for each in found if each.kind == "code"} == set(LANGUAGES)


def test_corpora_have_no_question_and_no_id_twice() -> None:
    found = [*questions.corpus(), *questions.corpus(questions.PROCEDURES)]
    assert len({each.id for each in found}) == len({each.text for each in found}) == len(found)


def test_ids_of_the_corpus_do_not_go_by_kind() -> None:
    for language in LANGUAGES:
        kinds = [each.kind for each in questions.corpus() if each.language == language]
        assert kinds != sorted(kinds)
        assert "list" in kinds[10:]
        assert set(kinds[:10]) != {"list"}


@pytest.mark.parametrize(
    ("question", "expected"),
    [("", "test"), ("a", "develop"), ("abc", "develop"), ("为什么", "test")],  # e3, ca, ba, 1b
)
def test_split_is_decided_by_the_first_byte_of_sha256(question: str, expected: str) -> None:
    assert questions.split(question) == expected


def test_both_splits_have_questions_of_every_language() -> None:
    found = {(each.language, questions.split(each.text)) for each in questions.corpus()}
    assert len(found) == 2 * len(LANGUAGES)


# --- titled lists --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1. **Set goals**: write them down.\n2. **Rest**: each hour.",
        "1. **Set goals:** write them down.\n\n2. **Rest:** each hour.",
        "1. **Set goals**\n   Write them down.\n2. **Rest**\n   Each hour.",
        "1) Plan: in the evening.\n2) Rest: each hour.",
        "- Cost: low.\n- Time: short.",
        "* __Cost__ is low.\n* __Time__ is short.",
        "• Cost \u2013 low.\n• Time \u2013 short.",
        "Intro.\n\n### Causes\n\nMany.\n\n### Effects\n\nFew.",
        "## Causes\n### Near\nx\n### Far\ny",
        "**Causes**\n\nMany.\n\n**Effects**\n\nFew.",
        "**Causes:** many.\n\n**Effects:** few.",
        "**Causes** \u2013 many.\n**Effects** \u2013 few.",
        "1. **Plan**:\n- in the evening\n- on paper\n2. **Rest**:\n- each hour",
        "1. **Plan**:\n\nIn the evening.\n\n2. **Rest**:\n\nEach hour.",
        "1. Food\n   - Bread: white.\n   - Milk: fresh.\n2. Drink",
        "1. ### Plan\nx\n2. ### Rest\ny",
        "1. **Vorteile**: Es spart Strom.\n2. **Nachteile**: Es kostet viel.",
        "- **Avantages** : moins de trajets.\n- **Inconvénients** : plus de solitude.",
        "- Ventajas: es barato.\n- Desventajas: está lejos.",
        "1. **Терпение** — ключ к успеху.\n2. **Труд** — тоже.",
        "1. 制定计划\uff1a晚上写好。\n2. 休息\uff1a每小时一次。",
        "一、制定计划\uff1a晚上写好。\n二、休息\uff1a每小时一次。",
        "1、**制定计划**\uff1a晚上写好。\n2、**休息**\uff1a每小时一次。",
        "1. **計画を立てる**\uff1a夜に書く。\n2. **休む**\uff1a一時間ごと。",
        "① 計画\uff1a夜に書く。\n② 休み\uff1a一時間ごと。",
        "・メリット\uff1a安い。\n・デメリット\uff1a遠い。",
        "- 优点:便宜。\n- 缺点:太远。",
    ],
)
def test_titled_lists_are_seen(text: str) -> None:
    assert has_titled_list(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No list: at all.\nAnd here: none.",
        "1. **Only one**: item.",
        "- eggs\n- flour\n- 500 g sugar",
        "1. Melt the butter in a pan.\n2. Add the flour.\n3. Stir.",
        "```\n- a: 1\n- b: 2\n```",
        "~~~yaml\n# one\n# two\n- a: 1\n~~~",
        "```\n# one\n# two",  # never closed
        "- Cost: low.\n  - Time: short.",  # not the same indent
        "1. Food\n   - Bread: white.\n2. Drink\n   - Milk: fresh.",  # not the same list
        "1. Cost: low.\n- Time: short.",  # not the same kind
        "# Causes\n\n## Near",
        "- At 10:30 we left.\n- At 11:15 we came.",
        "- See http://a.b for it\n- See http://c.d for more",
        "- First do this. Then note: it is hot.\n- Then do that. And note: it is cold.",
        "1.5 kg: enough\n2.5 kg: too much",
        "**Note** that this is bold.\n\n**Mind** that this is bold.",
        "2 x + 3 = 7\n- 5 - 3 = 2\n- 7 - 3 = 4",
        "Merkmale - wie oben - gelten.\n\n---\n\n---",
        "1. 在锅里放油。\n2. 加入面粉。",
        "人工智能\uff1a一种技术。\n医疗\uff1a一个领域。",
    ],
)
def test_other_texts_have_no_titled_list(text: str) -> None:
    assert not has_titled_list(text)


def test_item_has_its_number_its_lead_and_what_follows() -> None:
    (found,) = shown_lists.lists("Two:\n\n1. **Plan**: early.\n   - on paper\n\n2. Rest\uff1aoften.\n")[:1]
    assert [(item.number, item.lead, item.closed) for item in found.items] == [
        (1, "Plan", "colon"),
        (2, "Rest", "colon"),
    ]
    assert found.items[0].body.split() == ["early.", "-", "on", "paper"]
    assert found.items[1].body.strip() == "often."


def test_numbers_in_han_and_circles_are_read() -> None:
    for text, expected in (("十、a\n十一、b\n二十、c", [10, 11, 20]), ("① a\n② b", [1, 2])):
        assert [item.number for item in shown_lists.lists(text)[0].items] == expected


# --- faults --------------------------------------------------------------------------------------------


def faults_in(text: str, language: str = "en", **more: str) -> tuple[str, ...]:
    return visible_faults(text, language=language, **more)


@pytest.mark.parametrize(
    "text",
    [
        "1. **Plan**: early.\n2. **plan:** late.\n3. Rest: often.",
        "- Write it all down\n- Rest\n- **Write it all down.**",
        "## Causes\nMany.\n## Effects\nFew.\n## Causes\nMore.",
        "1. Plan: do what must be done.\n2. Rest: do what must be done!",
        "**Plan:** early.\n\n**Plan:** late.",
        "1. 计划\uff1a早。\n2. 计划\uff1a晚。",
    ],
)
def test_repeated_items_are_found(text: str) -> None:
    assert faults_in(text, "zh" if "计划" in text else "en") == ("repeated items",)


@pytest.mark.parametrize(
    "text",
    [
        "Pros:\n- Price: low.\n- Time: short.\n\nCons:\n- Price: may rise.\n- Place: far.",
        "## Rent\n- Price: low.\n## Buy\n- Price: high.",
        "1. Rent\n   - Price: low.\n2. Buy\n   - Price: high.",
        "1. **Rent**\n\n**Pros**: cheap.\n\n2. **Buy**\n\n**Pros**: safe.",
        "- Fish: yes\n- Meat: yes",
        "- C: old.\n- C++: large.\n- C#: newer.",
        "1. a\n2. b\n\nThen again:\n\n1. c\n2. d",
    ],
)
def test_the_same_lead_elsewhere_is_no_repeated_item(text: str) -> None:
    assert faults_in(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "1. **Plan**:\n2. **Rest**: often.",
        "1. Plan: early.\n2. Rest:\n",
        "1. **Plan** early.\n2. **Rest**",
        "- Plan\n-\n- Rest",
        "## Plan\n\nEarly.\n\n## Rest\n\n## Food\n\nMuch.",
    ],
)
def test_empty_items_are_found(text: str) -> None:
    assert faults_in(text) == ("empty items",)


@pytest.mark.parametrize(
    "text",
    [
        "1. **The Sea**\n2. **The Land**",
        "## The Sea\n## The Land",
        "- Plan early\n- **Rest often**",
        "- **id** (the key)\n- **name**\n- **price**\n- **place**",
        "1. Plan:\n   - early\n2. Rest:\n   - often",
        "1. **Plan**:\n- early\n2. **Rest**:\n- often",
        "1. **Plan**:\n\nEarly.\n\n2. **Rest**:\n\n```\nsleep 60\n```",
        "## Plan\n### Early\nx\n### Late\ny",
    ],
)
def test_titles_alone_and_lists_in_items_are_not_empty(text: str) -> None:
    assert faults_in(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "1. a\n2. b\n2. c",
        "1. a\n3. b",
        "1. Plan it.\n\nEarly.\n\n1. Rest.\n\nOften.",
        "### 1. Plan\nx\n### 3. Rest\ny",
        "**1. Plan**\nx\n\n**1. Rest**\ny",
        "2. a\n1. b",
    ],
)
def test_broken_numbers_are_found(text: str) -> None:
    assert faults_in(text) == ("numbering",)


@pytest.mark.parametrize(
    "text",
    [
        "1. a\n2. b\n3. c",
        "1. a\n\nText.\n\n2. b",
        "1. a\n\n```\nx\n```\n\n2. b",
        "1. a\n2. b\n\nThere is more.\n\n1. c\n2. d",
        "1. a\n   1. x\n   2. y\n2. b\n   1. x",
        "### One\n1. a\n2. b\n### Two\n1. a\n2. b",
        "### One\n1. a\n### Two\n2. b",
        "1. **Rent**\n\n**Why**: cheap.\n\n2. **Buy**\n\n**Why**: safe.",
        "9. a\n10. b",
        "### 2.1 Plan\nx\n### 2.2 Rest\ny",
    ],
)
def test_sound_numbers_are_no_fault(text: str) -> None:
    assert faults_in(text) == ()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Il faut 休息 souvent.", "fr"),
        ("Man sollte часто ruhen.", "de"),
        ("Нужно 休息 часто.", "ru"),
        ("要多休息してください。", "zh"),
        ("휴식 is good.", "en"),
        ("Here is an answer in English, which nobody who writes Russian has asked for.", "ru"),
        ("这是一个中文的回答" * 6, "en"),
    ],
)
def test_foreign_scripts_are_found(text: str, language: str) -> None:
    assert faults_in(text, language) == ("language",) or "repetition" in faults_in(text, language)
    assert "language" in faults_in(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Der Umfang ist 2πr, mit Größe in µm.", "de"),
        ("Une œuvre d'Ångström à l'été, 1ª vez.", "fr"),
        ("Установите Windows и Python.", "ru"),
        ("使用Python和JavaScript。", "zh"),
        ("コーヒーを飲みます。\uff30\uff39 と ﾊﾝｶｸ。", "ja"),
        ("Use this:\n```\nprint('你好')\n```\nand `日本`.", "en"),
        ("Short English.", "ja"),
        ("```python\n" + "x = some_function_name()\n" + "```\nДлинный язык.", "ru"),
    ],
)
def test_letters_that_every_language_uses_are_no_fault(text: str, language: str) -> None:
    assert faults_in(text, language) == ()


def test_scripts_of_the_question_and_of_translations_are_no_fault() -> None:
    assert faults_in("It means rest: 休息.", question="What does 休息 mean?") == ()
    assert faults_in("休息", "en", kind="translation") == ()


def test_answers_that_were_cut_and_repetition_are_found() -> None:
    assert faults_in("Some text", finish_reason="length") == ("cut",)
    assert faults_in("It is good to rest often. " * 4) == ("repetition",)


# --- asking --------------------------------------------------------------------------------------------


def timings(**values: float) -> Timings:
    return Timings(**{**dict.fromkeys(Timings.__dataclass_fields__, 0), **values})  # type: ignore[arg-type]


class Fake:
    """A model that forks unless it is asked serially. Its clock goes on by a second with every event."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.others: list[tuple[str, str]] = []
        self.now = 0.0
        self.n_resets = 0

    def stream(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Iterator[Event]:
        assert isinstance(messages, str)
        assert options["temperature"] == 0
        self.asked.append((messages, options["parallel"] or ""))
        serial = options["parallel"] == "off"
        for event in self._events(serial):
            self.now += 1
            yield event

    def _events(self, serial: bool) -> list[Event]:
        text = "a" if serial else "abc"
        branches = tuple(
            Branch(title=t, text=t, token_ids=(), span=(i, i + 1), n_tokens=1, end_reason="stop")
            for i, t in ((1, "b"), (2, "c"))
        )
        answer = Answer(
            text=text,
            blocks=() if serial else (Block(branches=branches),),
            finish_reason="stop",
            fallback=None,
            protocol="serial" if serial else "intrinsic",
            usage=Usage(prompt_tokens=1, completion_tokens=9, total_tokens=10, cached_tokens=0),
            timings=timings(trunk_tokens=1, plan_tokens=6, branch_tokens=0 if serial else 2),
        )
        if serial:
            return [Text(None, 0, "a"), Done(answer)]
        middle: list[Event] = [
            Text("1.2", 0, "c"),
            Text("1.1", 0, "b"),
            End("1.2", "stop"),
            End("1.1", "stop"),
        ]
        return [Text(None, 0, "a"), Fork(1, ("b", "c"), 1), *middle, Join(1), Done(answer)]

    def chat(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Answer:
        assert isinstance(messages, str)
        assert options["max_tokens"] == 1
        self.others.append((messages, options["parallel"] or ""))
        return empty_answer()

    def tokenize(self, text: str) -> list[int]:
        return list(range(len(text)))

    def reset(self) -> None:
        self.n_resets += 1


def empty_answer() -> Answer:
    usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0, cached_tokens=0)
    return Answer(
        text="",
        blocks=(),
        finish_reason="length",
        fallback=None,
        protocol="serial",
        usage=usage,
        timings=timings(),
    )


def own(number: int, language: str = "en") -> OwnQuestion:
    return OwnQuestion(id=f"{language}-{number:02}", language=language, kind="list", text=f"Why {number}?")


def test_answer_is_recorded_with_its_times() -> None:
    model = Fake()
    row = as_met.ask(model, own(1), "auto", 64, clock=lambda: model.now)
    assert {key: row[key] for key in ("id", "language", "kind", "question", "asked", "protocol", "text")} == {
        "id": "en-01",
        "language": "en",
        "kind": "list",
        "question": "Why 1?",
        "asked": "auto",
        "protocol": "intrinsic",
        "text": "abc",
    }
    assert (row["tokens"], row["text_tokens"]) == (3, 3)
    assert row["blocks"] == [
        [
            {"title": "b", "span": [1, 2], "n_tokens": 1, "end_reason": "stop"},
            {"title": "c", "span": [2, 3], "n_tokens": 1, "end_reason": "stop"},
        ]
    ]
    # a at 1 s, b at 4 s, c when b is over, at 6 s; the end at 8 s
    assert (row["first_token_s"], row["longest_gap_s"], row["seconds"]) == (1.0, 3.0, 8.0)
    assert row["timings"]["plan_tokens"] == 6


class Steps(Fake):
    """A model whose answer of n letters takes n steps."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[int, int] = {}
        self.sides: dict[int, str] = {}
        self.most = 0

    def prepare(self, messages: str | Sequence[Message], **options: Unpack[AnswerOptions]) -> Any:
        assert isinstance(messages, str)
        self.asked.append((messages, options["parallel"] or ""))
        return messages, options["parallel"]

    def submit(self, prepared: Any) -> int:
        request = len(self.asked)
        self.left[request], self.sides[request] = len(prepared[0]), prepared[1]
        self.most = max(self.most, len(self.left))
        return request

    def step(self) -> list[tuple[int, Event]]:
        self.left = {request: n - 1 for request, n in self.left.items()}
        over = [request for request, n in self.left.items() if n == 0]
        self.left = {request: n for request, n in self.left.items() if n > 0}
        return [(request, event) for request in over for event in self._events(self.sides[request] == "off")]


def test_many_answers_are_under_way_at_once() -> None:
    model = Steps()
    asked = [(own(n), side) for n in (1, 22, 3) for side in ("auto", "off")]
    rows = list(many_texts.ask_all(model, asked, 2, 64))
    assert model.most == 2
    assert model.asked == [(question.text, side) for question, side in asked]
    assert sorted((row["id"], row["asked"], row["text"]) for row in rows) == [
        ("en-01", "auto", "abc"),
        ("en-01", "off", "a"),
        ("en-03", "auto", "abc"),
        ("en-03", "off", "a"),
        ("en-22", "auto", "abc"),
        ("en-22", "off", "a"),
    ]
    assert all(row["seconds"] == 0 for row in rows)


def test_answers_without_times_have_no_speed(tmp_path: Path) -> None:
    rows = many_texts.ask_all(Steps(), [(own(1), side) for side in ("auto", "off")], 2, 64)
    with pytest.raises(ValueError, match="without times"):
        as_met_summary.summary(as_met_summary.read([write(tmp_path, list(rows))])["auto"])


def test_which_side_comes_first_alternates_and_other_questions_lie_between(tmp_path: Path) -> None:
    model = Fake()
    as_met.run(model, [own(1), own(2), own(3)], tmp_path, as_met.Settings())
    assert model.asked == [
        ("Why 1?", "off"),
        ("Why 1?", "auto"),
        ("Why 2?", "auto"),
        ("Why 2?", "off"),
        ("Why 3?", "off"),
        ("Why 3?", "auto"),
    ]
    assert model.n_resets == 5  # not before the first
    assert {side for _, side in model.others} == {"off", "auto"}
    rows = as_met.read_results(tmp_path)
    assert [row["cold"] for row in rows] == [True, *[False] * 5]


def test_where_the_cache_is_kept_a_question_comes_again_behind_others(tmp_path: Path) -> None:
    model, n = Fake(), 2 * as_met.LAG + 1
    settings = as_met.Settings(protocols=["auto", "prompted"], cache="kept")
    as_met.run(model, [own(i) for i in range(1, n + 1)], tmp_path, settings)
    assert len(model.asked) == len(set(model.asked)) == 3 * n
    for i in range(1, n + 1):
        turns = [model.asked.index((f"Why {i}?", side)) for side in ("off", "auto", "prompted")]
        assert turns == sorted(turns)
        assert all(len({q for q, _ in model.asked[a + 1 : b]}) >= 5 for a, b in itertools.pairwise(turns))


def test_a_side_may_name_a_check_of_drafts() -> None:
    assert as_met.options_of("auto", 5) == {"parallel": "auto", "temperature": 0.0, "max_tokens": 5}
    assert as_met.options_of("auto:exact", 5)["draft_check"] == "exact"
    assert as_met.options_of("auto:exact", 5)["parallel"] == "auto"


def test_run_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    as_met.run(Fake(), [own(1)], tmp_path, as_met.Settings())
    again = Fake()
    as_met.run(again, [own(1), own(2)], tmp_path, as_met.Settings())
    assert {text for text, _ in again.asked} == {"Why 2?"}
    assert [row["id"] for row in as_met.read_results(tmp_path)] == ["en-01", "en-01", "en-02", "en-02"]


def test_no_question_is_begun_when_the_time_is_over(tmp_path: Path) -> None:
    model = Fake()
    as_met.run(model, [own(1)], tmp_path, as_met.Settings(), seconds=0)
    assert model.asked == []


def test_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    as_met.keep_settings(tmp_path, as_met.Settings())
    as_met.keep_settings(tmp_path, as_met.Settings())
    with pytest.raises(ValueError, match="another folder"):
        as_met.keep_settings(tmp_path, as_met.Settings(max_tokens=5))


def test_serial_is_no_protocol_to_compare_with() -> None:
    with pytest.raises(ValueError, match="without 'off'"):
        as_met.Settings(protocols=["auto", "off"])


def test_languages_are_mixed_and_each_begins_serially_as_often_as_not() -> None:
    asked = [own(number, language) for language in ("en", "de", "fr", "es") for number in range(1, 5)]
    found = as_met.mixed(asked)
    assert sorted(each.id for each in found) == sorted(each.id for each in asked)
    assert {each.language for each in found[:4]} == {"en", "de", "fr", "es"}
    first = Counter(each.language for turn, each in enumerate(found) if turn % 2 == 0)
    assert first == {"en": 2, "de": 2, "fr": 2, "es": 2}


# --- the summary ---------------------------------------------------------------------------------------

TITLED = "1. **Plan**: early.\n2. **Rest**: often."
BLOCK = [[{"title": t, "span": [0, 1], "n_tokens": 1, "end_reason": "stop"} for t in ("Plan", "Rest")]]


def row(name: str, asked: str, text: str = TITLED, **more: Any) -> Row:
    """A line of results.jsonl."""
    return {
        "id": name,
        "language": name[:2],
        "kind": "list",
        "question": f"Question {name}?",
        "asked": asked,
        "protocol": "serial" if asked == "off" else "intrinsic",
        "text": text,
        "tokens": 100,
        "text_tokens": 100,
        "blocks": [],
        "fallback": None,
        "finish_reason": "stop",
        "seconds": 10.0,
        "first_token_s": 0.5,
        "longest_gap_s": 0.2,
        "timings": {},
        "cold": False,
        **more,
    }


def made() -> list[Row]:
    """Four questions: two forked (speeds 2 and 4), one equal to serial, one not (speed 1 and 0.5)."""
    return [
        row("en-01", "off", cold=True),
        row("en-01", "auto", "1. **Plan**: x.\n2. **Plan**: y.", blocks=BLOCK, seconds=5.0),
        row("en-02", "auto", "Plain.", fallback="because"),
        row("en-02", "off", "Plain.", kind="fact"),
        row("de-01", "off", "Die Länge ist\n\n1. a\n3. b"),
        row("de-01", "auto", blocks=BLOCK, seconds=5.0, tokens=200, first_token_s=1.0, longest_gap_s=2.0),
        row("de-02", "auto", "Etwas anderes.", seconds=20.0, finish_reason="length"),
        row("de-02", "off"),
    ]


def write(folder: Path, rows: Sequence[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / as_met.RESULTS).write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return folder


@pytest.fixture
def told(tmp_path: Path) -> Row:
    rows = made()
    return as_met_summary.summary(as_met_summary.read([write(tmp_path, rows)])["auto"])


def test_summary_counts_what_forked(told: Row) -> None:
    assert (told["answers"], told["cold"], told["not_forked"]) == (4, 1, 2)
    assert told["forked"]["share"]["value"] == 0.5
    assert {name: each["share"]["value"] for name, each in told["forked_by_language"].items()} == {
        "en": 0.5,
        "de": 0.5,
    }
    assert told["forked_by_kind"]["list"]["n"] == 4
    assert told["fallbacks"] == {"because": 1}


def test_summary_counts_what_forked_where_serial_has_a_titled_list(told: Row) -> None:
    assert {name: (each["n"], each["share"]["value"]) for name, each in told["titled"].items()} == {
        "all": (2, 0.5),
        "en": (1, 1.0),
        "de": (1, 0.0),
    }


def test_summary_has_speeds_by_token(told: Row) -> None:
    speed = told["speed"]
    assert {name: each["mean"]["value"] for name, each in speed.items()} == {
        "forked": 3.0,
        "not forked": 0.75,
        "all": 1.875,
    }
    assert speed["all"]["median"]["value"] == 1.5
    assert speed["forked"]["p10"]["value"] == pytest.approx(2.2)
    assert speed["forked"]["mean"]["low"] == 2.0
    assert speed["forked"]["mean"]["high"] == 4.0
    assert told["speed_retokenised"]["forked"]["mean"]["value"] == 2.0
    assert told["seconds"]["all"]["mean"]["value"] == pytest.approx((2 + 1 + 2 + 0.5) / 4)
    assert told["first_token"]["all"]["median"]["value"] == 1.0
    assert told["first_token"]["forked"]["median"]["value"] == 1.5
    assert told["longest_gap_s"]["other"]["value"] == pytest.approx(0.2)


def test_summary_counts_equal_texts_and_faults(told: Row) -> None:
    assert told["equal_to_serial"]["value"] == 0.5
    faults = told["faults"]["all"]
    assert faults["n"] == 4
    assert {kind: found for kind, found in faults["serial"].items() if found} == {"numbering": ["de-01"]}
    assert {kind: found for kind, found in faults["other"].items() if found} == {
        "repeated items": ["en-01"],
        "cut": ["de-02"],
    }


def test_table_shows_figures_and_where_only_the_parallel_answer_has_a_fault(told: Row) -> None:
    table = "\n".join(as_met_summary.lines("auto", told))
    assert re.search(r"forked +2  3\.00 \[2\.00, 4\.00\]", table)
    assert re.search(r"repeated items +0 +1  only there: en-01", table)
    assert "not forked and equal to serial: 50 %" in table


def test_summary_of_several_folders_and_protocols_keeps_them_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "one", made())
    other = write(tmp_path / "two", [row("en-01", "off"), row("en-01", "prompted"), row("en-01", "auto")])
    found = as_met_summary.read([one, other])
    assert {protocol: len(its) for protocol, its in found.items()} == {"auto": 5, "prompted": 1}


def test_folders_without_answers_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no answers"):
        as_met_summary.read([tmp_path])


# --- blind pairs ---------------------------------------------------------------------------------------

N_PAIRS = 7


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Seven forked questions; one forked but equal, one not forked."""
    rows = []
    for number in range(1, N_PAIRS + 1):
        rows.append(row(f"en-{number:02}", "off", f"left {number}"))
        rows.append(row(f"en-{number:02}", "auto", f"right {number}", blocks=BLOCK))
    rows += [row("de-01", "off"), row("de-01", "auto", blocks=BLOCK)]
    rows += [row("de-02", "off", "a"), row("de-02", "auto", "b")]
    return write(tmp_path / "answers", rows)


def test_each_pair_stands_in_two_files_with_its_sides_swapped(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert blind_pairs.make(answers, out, per_file=3) == N_PAIRS
    by_question: dict[str, list[blind_pairs.Entry]] = {}
    for entry in blind_pairs.read_key(out).values():
        by_question.setdefault(entry.question, []).append(entry)
    assert sorted(by_question) == [f"en-{number:02}" for number in range(1, N_PAIRS + 1)]
    for one, other in by_question.values():
        assert one.file != other.file
        assert (one.a, one.b) == (other.b, other.a)
        assert {one.a, one.b} == {"serial", "parallel"}
    assert len(list(out.glob("pairs-*.md"))) == 6  # 3 + 3 + 1, twice
    counted = Counter(entry.file for entry in blind_pairs.read_key(out).values())
    assert sorted(counted.values()) == [1, 1, 3, 3, 3, 3]


def test_key_tells_which_text_is_which(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    blind_pairs.make(answers, out, per_file=3)
    for name, entry in blind_pairs.read_key(out).items():
        text = (out / f"pairs-{entry.file:02}.md").read_text(encoding="utf-8")
        pair = text.partition(f"= Pair {name} =")[2].partition("= End of pair")[0]
        a, b = pair.partition("Answer A")[2].split("Answer B")
        number = int(entry.question[-2:])
        words = {"serial": f"left {number}", "parallel": f"right {number}"}
        assert words[entry.a] in a
        assert words[entry.b] in b
        assert f"Question {entry.question}?" in pair


def test_files_do_not_say_which_side_is_parallel(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    blind_pairs.make(answers, out)
    for path in out.glob("pairs-*.md"):
        text = path.read_text(encoding="utf-8").casefold()
        assert not re.search(r"serial|parallel|intrinsic|protocol|auto|branch", text)
        assert f"verdicts-{path.stem[-2:]}.jsonl" in text


def test_seed_decides_the_sides(answers: Path, tmp_path: Path) -> None:
    keys = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        blind_pairs.make(answers, tmp_path / name, seed=seed)
        keys.append(blind_pairs.read_key(tmp_path / name))
    assert keys[0] == keys[1] != keys[2]
    assert {entry.a for entry in keys[0].values() if entry.file == 1} == {"serial", "parallel"}


def test_pairs_are_not_written_over(answers: Path, tmp_path: Path) -> None:
    blind_pairs.make(answers, tmp_path / "out")
    with pytest.raises(ValueError, match="another folder"):
        blind_pairs.make(answers, tmp_path / "out")


def judge(out: Path, verdicts: dict[tuple[str, str], tuple[str, int, int]]) -> None:
    """Writes verdicts: by question and what A is, who wins, and the scores of serial and parallel."""
    for name, entry in blind_pairs.read_key(out).items():
        if (entry.question, entry.a) not in verdicts:
            continue
        wins, serial, parallel = verdicts[entry.question, entry.a]
        scores = {"serial": serial, "parallel": parallel}
        verdict = "tie" if wins == "tie" else "A" if entry.a == wins else "B"
        said = {"pair": name, "a": scores[entry.a], "b": scores[entry.b], "verdict": verdict, "why": "So."}
        with (out / f"verdicts-{entry.file:02}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")


def test_tally_counts_from_the_parallel_side(answers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    blind_pairs.make(answers, out, per_file=2)
    judge(
        out,
        {
            ("en-01", "serial"): ("parallel", 4, 8),
            ("en-01", "parallel"): ("parallel", 6, 8),
            ("en-02", "serial"): ("serial", 8, 3),
            ("en-02", "parallel"): ("tie", 5, 5),
            ("en-03", "serial"): ("serial", 9, 2),
            ("en-03", "parallel"): ("serial", 9, 2),
            ("en-04", "parallel"): ("tie", 7, 7),
        },
    )
    found = blind_pairs.tally(out)
    assert (found["wins"], found["ties"], found["losses"]) == (2, 2, 3)
    assert (found["verdicts"], found["questions"], found["missing"]) == (7, 4, 7)
    assert found["preferred"]["value"] == pytest.approx((1 + 0.25 + 0 + 0.5) / 4)
    assert found["score_serial"]["value"] == pytest.approx((5 + 6.5 + 9 + 7) / 4)
    assert found["score_parallel"]["value"] == pytest.approx((8 + 4 + 2 + 7) / 4)
    assert (found["agreement"], found["judged_both_ways"]) == (pytest.approx(2 / 3), 3)
    assert found["lost"] == {
        "en-02": ["parallel was B: So."],
        "en-03": [f"parallel was {letter}: So." for letter in told_letters(out, "en-03")],
    }
    assert found["lost_both_ways"] == ["en-03"]
    told = "\n".join(blind_pairs.lines(found))
    assert "parallel: 2 wins, 2 ties, 3 losses" in told
    assert "en-02: parallel was B: So." in told


def told_letters(out: Path, question: str) -> list[str]:
    """What the parallel answer is called in the files, in their order."""
    entries = [entry for entry in blind_pairs.read_key(out).values() if entry.question == question]
    return ["A" if entry.a == "parallel" else "B" for entry in sorted(entries, key=lambda entry: entry.file)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pair": "no such"}, "no such"),
        ({"verdict": "C"}, "A, B or tie"),
        ({"a": 11}, "between 0 and 10"),
        ({"why": None, "b": None}, "verdicts-01"),
    ],
)
def test_verdict_that_is_none_is_an_error_that_names_the_line(
    answers: Path, tmp_path: Path, changed: Row, message: str
) -> None:
    out = tmp_path / "out"
    blind_pairs.make(answers, out)
    name = next(iter(blind_pairs.read_key(out)))
    said = {"pair": name, "a": 5, "b": 5, "verdict": "tie", "why": "So.", **changed}
    (out / "verdicts-01.jsonl").write_text(json.dumps(said) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        blind_pairs.tally(out)
    assert "verdicts-01.jsonl:1" in str(caught.value)
