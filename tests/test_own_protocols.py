"""Protocols of a user's own: files are taken where names are, and checked as those of the package are."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local import Answer, Model, ProtocolError, _core, protocol
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS, Vocabulary

DOCS = Path(__file__).parent.parent / "docs" / "protocols.md"
EXACT: dict[str, Any] = {
    "n_ctx": 4096,
    "n_threads": 1,
    "n_threads_batch": 1,
    "flash_attn": "off",
    "cache_type": "f32",
    "profile": "off",
}
LISTED = "So:\n1. X: klmnopqvyz\n2. Y: ghj\nEnd"
ASKED: dict[str, Any] = {"temperature": 0, "max_tokens": 60}
Raw = dict[str, Any]


def raw(name: str) -> Raw:
    text = (resources.files("aspd_local") / "protocols" / f"{name}.json").read_text(encoding="utf-8")
    found: Raw = json.loads(text)
    return found


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a protocol of the package under another name; its path. change: what else is other."""

    def written(name: str, change: Callable[[Raw], object] = lambda _: None) -> str:
        file = {**raw(name), "name": "mine"}
        change(file)
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(file), encoding="utf-8")
        return str(path)

    return written


@pytest.fixture(scope="module")
def forking(tiny_folder: Path) -> TinyModel:
    """Speaks `aspd`."""
    return write_scripted(
        tiny_folder / "own_aspd.gguf", Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"]), seed=17
    )


@pytest.fixture(scope="module")
def listing(tiny_folder: Path) -> TinyModel:
    """Writes a list, and the second lead where the first body is left out."""
    script = Script([f"assistant\n{LISTED}{EOS}", "...\n2. Y:"])
    return write_scripted(
        tiny_folder / "own_lists.gguf", script, seed=18, vocabulary=Vocabulary(markers="absent")
    )


PLANNED = ["<plan>\nred\nblue\n</plan>", 'red">\nIt is warm.\n</part>', 'blue">\nIt is cold.\n</part>']


@pytest.fixture(scope="module")
def planning(tiny_folder: Path) -> TinyModel:
    """Speaks `prompted`."""
    script = Script([f"assistant\n{PLANNED[0]}", *PLANNED[1:]])
    return write_scripted(
        tiny_folder / "own_plans.gguf", script, seed=19, vocabulary=Vocabulary(markers="absent")
    )


def facts(answer: Answer) -> tuple[object, ...]:
    """All of an answer but its protocol's name and its times."""
    t = answer.timings
    counted = (t.steps, t.lanes, t.seed_tokens, t.rewound_tokens, t.plan_tokens, t.branch_tokens)
    return (answer.text, answer.blocks, answer.finish_reason, answer.fallback, answer.usage, counted)


@pytest.mark.parametrize(
    ("name", "models"), [("aspd", "forking"), ("intrinsic", "listing"), ("prompted", "planning")]
)
def test_a_renamed_copy_behaves_as_the_protocol_of_the_package(
    name: str, models: str, write: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    path = write(name)
    tiny: TinyModel = request.getfixturevalue(models)
    room = {**EXACT, "n_ctx": 32768}  # to this vocabulary instructions are long
    with Model(tiny.path, **room) as model:
        expected = model.chat("Hello", parallel=name, **ASKED)
        asked = model.prepare("Hello", parallel=name).request.prompt.token_ids
        model.reset()
        found = model.chat("Hello", parallel=path, **ASKED)
        assert model.prepare("Hello", parallel=path).request.prompt.token_ids == asked
    assert (expected.protocol, found.protocol) == (name, "mine")
    assert len(expected.blocks) == (0 if name == "intrinsic" else 1)  # two items are no list to it
    assert facts(found) == facts(expected)
    with Model(tiny.path, protocol=path, **room) as model:
        assert (model.protocol, "mine" in repr(model)) == ("mine", True)
        assert facts(model.chat("Hello", **ASKED)) == facts(expected)
        model.reset()
        assert facts(model.chat("Hello", parallel="mine", **ASKED)) == facts(expected)


def test_the_rules_of_an_own_file_count(
    listing: TinyModel, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if they were those of the package."""

    def change(file: Raw) -> None:
        file["lists"] |= {"min_items": 2, "separator": "\n"}

    with Model(listing.path, protocol=write("intrinsic", change), **EXACT) as model:
        found = model.chat("Hello", temperature=0)
    rules = protocol.list_rules

    def changed(file: protocol.ProtocolFile) -> _core.ListRules:
        known = rules(file)
        known.min_items, known.separator = 2, "\n"
        return known

    monkeypatch.setattr(protocol, "list_rules", changed)
    with Model(listing.path, **EXACT) as model:
        expected = model.chat("Hello", temperature=0)
    assert (expected.protocol, found.protocol) == ("intrinsic", "mine")
    assert [branch.title for branch in expected.blocks[0].branches] == ["X", "Y"]
    assert facts(found) == facts(expected)


def test_the_next_turn_finds_an_answer_under_an_own_protocol_in_the_cache(
    forking: TinyModel, write: Callable[..., str]
) -> None:
    with Model(forking.path, protocol=Path(write("aspd")), **EXACT) as model:
        first = model.chat("Hello", **ASKED)
        turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": first.text}]
        again = model.chat([*turns, {"role": "user", "content": "And?"}], **ASKED)  # type: ignore[list-item]
        in_branches = sum(len(branch.token_ids) for branch in first.blocks[0].branches)
        assert again.timings.cached_tokens > first.timings.prompt_tokens + in_branches


def test_a_name_of_the_package_can_be_a_models_own(forking: TinyModel) -> None:
    with Model(forking.path, protocol="intrinsic", **EXACT) as model:
        assert model.protocol == "intrinsic"
        answer = model.chat("Hello", **ASKED)
        assert answer.blocks == ()
        # its markers are still none of ordinary text
        banned = {token for token, bias in model.prepare("Hello", parallel="off").request.sampling.logit_bias}
        aspd = protocol.marker_ids(protocol.load("aspd"), model.core)
        assert banned == set(aspd.values())


def test_instructions_have_no_place_in_a_plain_prompt(planning: TinyModel, write: Callable[..., str]) -> None:
    with Model(planning.path, protocol=write("prompted"), **EXACT) as model:
        answer = model.generate("assistant\n", **ASKED)
        assert (answer.protocol, answer.blocks) == ("serial", ())
        assert answer.fallback == "the protocol 'mine' needs a chat"
        with pytest.raises(ValueError, match="'mine' needs a chat"):
            model.generate("assistant\n", parallel="mine")


# --- what is refused ---------------------------------------------------------------------------------------


def set_at(*path: str | int, to: Any) -> Callable[[Raw], None]:
    def change(file: Any) -> None:
        *parents, last = path
        for key in parents:
            file = file[key]
        file[last] = to

    return change


def drop(*path: str) -> Callable[[Raw], None]:
    def change(file: Any) -> None:
        *parents, last = path
        for key in parents:
            file = file[key]
        del file[last]

    return change


WRONG = [
    ("aspd", set_at("colour", to=1), "unknown field colour; known here are name, source, markers"),
    (
        "aspd",
        set_at("branch", "colour", to=1),
        "unknown field branch.colour; known here are tokens, seed, close",
    ),
    ("aspd", set_at("text", "\nodd", to=1), r"unknown field text.\nodd; known here are before, strip_body"),
    ("prompted", set_at("prompt", "examples", 0, "tone", to="x"), "unknown field prompt.examples[0].tone"),
    ("intrinsic", set_at("lists", "max_colours", to=1), "unknown field lists.max_colours"),
    ("intrinsic", set_at("prompt", to={"system": "x"}), "unknown field prompt; known here are"),
    (
        "prompted",
        set_at("banned", "plan", to=["x"]),
        "unknown field banned.plan; known here are trunk, branch",
    ),
    ("aspd", drop("name"), "name is missing"),
    ("aspd", set_at("name", to=""), 'name must be a string of 1 to 64 characters, not ""'),
    ("aspd", set_at("name", to="serial"), "name must not be one of auto, off, serial"),
    ("aspd", drop("plan", "close"), "plan.close is missing"),
    ("aspd", drop("branch"), "branch is missing"),
    ("aspd", drop("branch", "close"), "branch.close is missing"),
    ("prompted", drop("plan", "open"), "plan.open is missing"),
    ("intrinsic", drop("lists", "elision"), "lists.elision is missing"),
    ("aspd", set_at("branch", to=[]), "branch must be an object, not []"),
    (
        "aspd",
        set_at("branch", "tokens", to="40"),
        'branch.tokens must be an integer from 1 to 1000000, not "40"',
    ),
    (
        "aspd",
        set_at("branch", "tokens", to=True),
        "branch.tokens must be an integer from 1 to 1000000, not true",
    ),
    ("aspd", set_at("branch", "tokens", to=2**40), "branch.tokens must be an integer"),
    ("aspd", set_at("branch", "seed", to=[]), "branch.seed must be a list of 1 to 64 strings, not []"),
    (
        "aspd",
        set_at("branch", "seed", to=["<{title}>"]),
        'branch.seed[0] is "<{title}>": {title} and {n} are parts',
    ),
    ("aspd", set_at("join", "seed", to=["{n}"]), 'join.seed[0] is "{n}": there is no branch'),
    ("aspd", set_at("join", "seed", to=[]), "join.seed must be a list of 1 to 64 strings, not []"),
    ("aspd", set_at("join", "ends_answer", to=1), "join.ends_answer must be true or false, not 1"),
    (
        "aspd",
        set_at("join", "rule", to="best"),
        "join.rule must be one of 'sum', 'longest', 'linear', 'drop', not",
    ),
    ("intrinsic", set_at("join", "rule", to="sum"), "join.rule must be one of 'linear', not \"sum\""),
    ("intrinsic", set_at("lists", "separator", to="---"), "lists.separator must be one of"),
    ("intrinsic", set_at("lists", "bullets", to="-"), "lists.bullets must be a list of 0 to 64 strings"),
    (
        "intrinsic",
        set_at("lists", "bullets", 1, to=""),
        "lists.bullets[1] must be a string of 1 to 4096 characters",
    ),
    (
        "intrinsic",
        set_at("lists", "ready_items", to=2),
        "lists.ready_items must be an integer from 3 to 64, not 2",
    ),
    ("intrinsic", set_at("lists", "window", to=0), "lists.window must be an integer from 1 to 1000, not 0"),
    ("intrinsic", set_at("lists", "min_mark", to=2), "lists.min_mark must be a number from 0 to 1, not 2"),
    ("aspd", set_at("plan", "min_items", to=20), "plan.max_items must be at least min_items, 20, not 16"),
    ("aspd", set_at("plan", "max_items", to=10**6), "plan.max_items must be an integer from 2 to 64"),
    ("prompted", set_at("plan", "item_close", to=";"), "plan.item_close must be"),
    ("prompted", set_at("plan", "close", to="x" * 65), "plan.close must be a marker of at most 64 bytes"),
    (
        "prompted",
        set_at("banned", "trunk", 0, to=""),
        "banned.trunk[0] must be a string of 1 to 4096 characters",
    ),
    ("prompted", set_at("branch", "close", to="@end"), 'branch.close is "@end": only markers "control" have'),
    ("prompted", set_at("prompt", "examples", to={}), "prompt.examples must be a list of at most 64 turns"),
    ("prompted", drop("prompt"), "listing needs prompt"),
    ("aspd", set_at("vocabulary", to={}), "vocabulary must be an object of 1 to 64 markers"),
    (
        "aspd",
        set_at("vocabulary", "title_open", to=[]),
        "vocabulary.title_open must be a list of 1 to 64 strings",
    ),
    (
        "aspd",
        set_at("plan", "close", to="@end"),
        'plan.close is "@end", which the vocabulary does not declare',
    ),
    ("aspd", set_at("plan", "close", to="end"), "plan.close must be the name of a marker of the vocabulary"),
    (
        "aspd",
        set_at("text", "before", to="\ud800"),
        "text.before has half of a surrogate pair at character 0",
    ),
    ("aspd", set_at("max_blocks", to=None), "max_blocks must be an integer from 1 to 1000000, not null"),
]


@pytest.mark.parametrize(("name", "change", "said"), WRONG, ids=[each[2][:40] for each in WRONG])
def test_a_wrong_field_is_told_with_its_file_its_place_and_what_it_may_be(
    forking: TinyModel, write: Callable[..., str], name: str, change: Callable[[Raw], object], said: str
) -> None:
    path = write(name, change)
    with pytest.raises(ProtocolError) as caught:
        protocol.find(path)
    assert caught.value.protocol == path
    assert caught.value.message.startswith(f"protocol {path!r}: malformed file: {said}")
    caught.value.message.encode()
    with pytest.raises(ProtocolError, match="malformed"):
        Model(forking.path, protocol=path, **EXACT)


@pytest.fixture(scope="module")
def model(forking: TinyModel) -> Iterator[Model]:
    with Model(forking.path, **EXACT) as model:
        yield model


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no JSON"),
        (b"GGUF\x03\x00\x00\x00", "it is no JSON"),
        (b'{"name": "x"', "it is no JSON"),
        (b"[]", "the file must be an object, not []"),
        (b"7", "the file must be an object, not 7"),
        (b"\xff\xfe{}", "it is no UTF-8 text"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"max_blocks": NaN}', "NaN is no number"),
        (b'{"name": "x", "name": "y"}', 'the field "name" stands twice'),
        (b'{"max_blocks": ' + b"1" * 100_000 + b"}", ""),
        (b'{"name": ' + b"[" * 500 + b"]" * 500 + b"}", "name must be a string"),
    ],
    ids=lambda it: it[:12].decode("latin-1") if isinstance(it, bytes) else "",
)
def test_a_file_that_is_no_protocol_is_told(model: Model, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ProtocolError) as caught:
        model.chat("Hello", parallel=str(path))
    assert caught.value.message.startswith(f"protocol {str(path)!r}: malformed file: {said}")
    assert len(caught.value.message) < 600
    assert model.chat("Hello", **ASKED).blocks


def test_a_large_file_is_not_read(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match=f"it has more than {protocol.MOST_BYTES} bytes"):
            model.chat("Hello", parallel=str(path))
        assert tracemalloc.get_traced_memory()[1] < 4 * protocol.MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unheard-of", "no protocol has this name, and there is no such file"),
        ("", "no protocol has this name, and there is no such file"),
        ("no/such/folder/mine.json", "no protocol has this name, and there is no such file"),
        ("odd\0name", "no protocol has this name, and there is no such file"),
        ("x" * 5000, "no protocol has this name, and as a file: File name too long"),
        ("folder", "that is a folder"),
        ("pipe", "that is no ordinary file"),
    ],
    ids=lambda it: it[:12],
)
def test_what_is_neither_a_name_nor_a_file_is_told_with_both(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        ValueError, match=r"^parallel must be 'auto', 'off' or a protocol by its name \(aspd"
    ) as caught:
        model.chat("Hello", parallel=name)
    assert str(caught.value).endswith(f"or the path of its file, not {name[:300]!r}: {why}")
    with pytest.raises(ValueError, match=r"^protocol must be a protocol by its name"):
        Model(model.path, protocol=name, **EXACT)


@pytest.mark.parametrize("value", [5, b"aspd", ["aspd"]])
def test_a_setting_that_is_no_name_is_told(model: Model, value: object) -> None:
    with pytest.raises(ValueError, match=r"^protocol must be a protocol's name or the path of its file, not"):
        Model(model.path, protocol=value, **EXACT)  # type: ignore[arg-type]


def test_a_vocabulary_without_the_markers_is_told(listing: TinyModel, write: Callable[..., str]) -> None:
    path = write("aspd")
    said = re.escape(
        f"protocol 'mine' ({path}): the vocabulary has no marker title_open (<|title|> or <title>)"
    )
    with pytest.raises(ProtocolError, match=f"^{said}"):
        Model(listing.path, protocol=path, **EXACT)
    with Model(listing.path, **EXACT) as model, pytest.raises(ProtocolError, match=f"^{said}"):
        model.chat("Hello", parallel=path)


def test_markers_that_a_user_could_type_are_refused(
    tiny_typable_markers: TinyModel, write: Callable[..., str]
) -> None:
    with pytest.raises(ProtocolError, match=r"mine\.json\): the marker title_open .* is not a CONTROL token"):
        Model(tiny_typable_markers.path, protocol=write("aspd"), **EXACT)


# --- whatever a file holds ---------------------------------------------------------------------------------

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "@", "@title_open", "{title}", "\n", "<plan>", "\ud800"])
    | st.sampled_from(["control", "text", "lists", "sum", "linear"])
    | st.lists(st.text(max_size=3), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All places of a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


@given(st.data())
def test_a_changed_file_is_a_sound_protocol_or_a_protocol_error(model: Model, data: st.DataObject) -> None:
    file: Any = raw(data.draw(st.sampled_from(protocol.names())))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([each for each in places(file) if each]))
        parent = file
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = data.draw(VALUES)
    try:
        found = protocol.parse(json.dumps(file), "changed")
        bound = protocol.bind(found, model.core)
    except ProtocolError as error:
        error.message.encode()
        return
    assert bound.name == found.name


# --- what the documentation shows --------------------------------------------------------------------------


def test_the_documented_protocol_decodes_in_branches(tiny_folder: Path, tmp_path: Path) -> None:
    section = DOCS.read_text(encoding="utf-8").split("\n## A protocol of your own\n")[1]
    (shown,) = re.findall(r"^```json\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "parts.json"
    path.write_text(shown, encoding="utf-8")
    script = Script(
        [
            "assistant\n<outline>\nred\nblue\n</outline>",
            "<part>red:\nIt is warm.\n</part>",
            "<part>blue:\nAs cold as ice.\n</part>",
        ]
    )
    vocabulary = Vocabulary(markers="absent")
    tiny = write_scripted(tiny_folder / "own_parts.gguf", script, seed=20, vocabulary=vocabulary)
    with Model(tiny.path, protocol=path, **EXACT) as model:
        answer = model.chat("Hello", temperature=0, max_tokens=80)
    assert (answer.protocol, answer.fallback) == ("parts", None)
    assert answer.text == "**red**\nIt is warm.\n\n**blue**\nAs cold as ice."
    assert [branch.title for branch in answer.blocks[0].branches] == ["red", "blue"]
