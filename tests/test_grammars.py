"""Grammars and JSON schemas of strangers: each is kept, or refused at once with a reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspd_local import Model, _core
from tiny.files import TinyModel

# Asks for one answer in a process of its own that may use 3 GiB and 30 seconds of the processor.
CHILD = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from aspd_local import Model
path, options = sys.argv[1], json.loads(sys.stdin.read())
with Model(path, n_ctx=512, n_threads=1, n_threads_batch=1, profile="off") as model:
    model.generate("a", max_tokens=1, parallel="off")
    begin = time.process_time()
    try:
        told = {"text": model.generate("a", seed=1, max_tokens=20, **options).text}
    except ValueError as error:
        told = {"error": str(error), "seconds": time.process_time() - begin}
print(json.dumps(told))
"""


def ask(tiny: TinyModel, options: dict[str, Any]) -> dict[str, Any]:
    """What one process says to these options, on stdout alone."""
    process = subprocess.run(
        [sys.executable, "-c", CHILD, str(tiny.path)],
        input=json.dumps(options),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, ""), process
    told: dict[str, Any] = json.loads(process.stdout)
    return told


def nested(depth: int) -> str:
    return f"root ::= {'(' * depth}'a'{')' * depth}".replace("'", '"')


def chained(n: int) -> str:
    rules = [f"r{i} ::= r{i + 1}" for i in range(n)]
    return "\n".join(["root ::= r0", *rules, f'r{n} ::= "x"'])


def doubling(n: int) -> str:
    """Each rule begins with the next one in two ways: 2**n in all."""
    rules = [f'r{i} ::= r{i + 1} "x" | r{i + 1} "y"' for i in range(n)]
    return "\n".join(["root ::= r0", *rules, f'r{n} ::= "z"'])


def below_all_of(n: int) -> dict[str, Any]:
    """Each schema writes the next one out twice."""
    twice = {f"s{i}": {"properties": {"p": {"allOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2}}} for i in range(n)}
    return {"$ref": "#/$defs/s0", "$defs": {**twice, f"s{n}": {"properties": {"p": {"type": "null"}}}}}


ITSELF = {"$defs": {"a": {"properties": {"next": {"allOf": [{"$ref": "#/$defs/a"}]}}}}, "$ref": "#/$defs/a"}
REFUSED = [
    pytest.param({"grammar": 'root ::= "a"{5,2}'}, "at least 5 repetitions .* at most 2", id="{5,2}"),
    pytest.param(
        {"json_schema": {"minLength": 5, "maxLength": 2}}, "minLength 5 .* maxLength 2", id="length"
    ),
    pytest.param(
        {"json_schema": {"type": "array", "minItems": 4, "maxItems": 2}},
        "minItems 4 .* maxItems 2",
        id="items",
    ),
    pytest.param(
        {"json_schema": {"type": "string", "pattern": "^a{3,1}$"}}, "at least 3 rep.* at most 1", id="pattern"
    ),
    pytest.param(
        {"json_schema": {"type": "integer", "minimum": 1700000000000000000}},
        "minimum 1700000000000000000 needs a maximum",
        id="minimum",
    ),
    pytest.param(
        {"grammar": 'root ::= e root "x" | "y"\ne ::= ""'}, "'root' begins with itself", id="empty rule first"
    ),
    pytest.param({"grammar": nested(20_000)}, "nested deeper than 200", id="20,000 groups"),
    pytest.param({"grammar": doubling(60)}, "more than 16384 ways", id="2**60 ways"),
    pytest.param({"grammar": 'root ::= "a"{1000000}'}, "65536 is the most", id="a million times"),
    pytest.param({"json_schema": {"minLength": 100_000}}, "65536 is the most", id="minLength"),
    pytest.param({"json_schema": below_all_of(30)}, "written out .* 4096 schemas", id="2**30 schemas"),
    pytest.param({"json_schema": ITSELF}, "contains itself below allOf", id="allOf of itself"),
    pytest.param(
        {"json_schema": {"properties": {f"p{i}": {} for i in range(3000)}}}, "3000 optional", id="properties"
    ),
    pytest.param(
        {"json_schema": {"type": "integer", "minimum": 5, "maximum": 3}},
        "minimum 5 .* maximum 3",
        id="bounds",
    ),
    pytest.param({"json_schema": {"type": "integer", "maximum": 1e30}}, "more than 64 bits", id="1e30"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED)
def test_what_cannot_be_kept_is_refused_at_once_with_a_reason(
    tiny_llama: TinyModel, options: dict[str, Any], why: str
) -> None:
    told = ask(tiny_llama, options)
    assert re.search(why, told["error"])
    assert "\n" not in told["error"]
    assert told["seconds"] < 0.1


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        pytest.param({"json_schema": {"type": "array", "maxItems": 2000}}, r"\[", id="maxItems"),
        pytest.param({"json_schema": {"type": "string", "minLength": 2500}}, r'"', id="minLength"),
        pytest.param({"json_schema": {"type": "string", "maxLength": 10**9}}, r'"', id="no bound"),
        pytest.param({"grammar": chained(50_000)}, "x", id="50,000 rules"),
        pytest.param(
            {"grammar": 'root ::= a root "c" | b root "c" | ""\na ::= [a-z]\nb ::= [a-z]'}, "", id="ambiguous"
        ),
    ],
)
def test_what_is_large_but_can_be_kept_is_kept(
    tiny_llama: TinyModel, options: dict[str, Any], pattern: str
) -> None:
    assert re.match(pattern, ask(tiny_llama, options)["text"])


def test_a_hundred_thousand_chained_rules_are_refused_by_their_size(tiny_llama: TinyModel) -> None:
    assert "1 MiB" in ask(tiny_llama, {"grammar": chained(100_000)})["error"]


# --- at random ---------------------------------------------------------------------------------------------

counts = st.integers(0, 6) | st.sampled_from([50, 2**31 - 1, 2**31, 10**30])
bounds = st.integers(-20, 20) | st.sampled_from([-(2**63), 2**63 - 1, 2**53, -(2**53), 10**15, 10**25, 1.5])
leaves = (
    st.fixed_dictionaries({"type": st.just("string")}, optional={"minLength": counts, "maxLength": counts})
    | st.fixed_dictionaries(
        {"type": st.just("integer")},
        optional={"minimum": bounds, "maximum": bounds, "exclusiveMinimum": bounds},
    )
    | st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null", "number"])})
    | st.fixed_dictionaries({"enum": st.lists(st.integers() | st.text(max_size=3), min_size=1, max_size=3)})
    | st.fixed_dictionaries({"$ref": st.sampled_from(["#", "#/items", "#/properties/a", "#/nowhere", "#/"])})
)


def around(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from("abc")
    return (
        st.fixed_dictionaries({"items": inner}, optional={"minItems": counts, "maxItems": counts})
        | st.fixed_dictionaries(
            {"properties": st.dictionaries(names, inner, max_size=3)},
            optional={"required": st.lists(names), "additionalProperties": st.booleans() | inner},
        )
        | st.dictionaries(
            st.sampled_from(["anyOf", "allOf", "oneOf"]), st.lists(inner, max_size=3), min_size=1, max_size=1
        )
    )


@given(schema=st.recursive(leaves, around, max_leaves=8))
def test_any_schema_becomes_a_grammar_or_is_refused(schema: dict[str, Any]) -> None:
    begin = time.process_time()
    try:
        told = _core.grammar_of_schema(json.dumps(schema))
    except ValueError as error:
        told = str(error)
    assert "root ::=" in told or "JSON schema" in told
    assert time.process_time() - begin < 1


SIGNS = [
    '"a"',
    "[b-c]",
    "[^d]",
    "(",
    ")",
    "|",
    "*",
    "+",
    "?",
    "{2,}",
    "{0,3}",
    "{3,1}",
    ".",
    "root",
    "x",
    "<[3]>",
    "::=",
    "#",
    "\\",
    "é",
]
signs = st.sampled_from([*SIGNS, "\n"])


@given(texts=st.lists(signs, max_size=12), rest=st.text(max_size=5))
def test_any_text_is_a_grammar_or_is_refused(open_model: Model, texts: list[str], rest: str) -> None:
    grammar = f"root ::= {' '.join(texts)}{rest}"
    begin = time.process_time()
    try:
        told = open_model.generate("a", grammar=grammar, max_tokens=2, seed=1).fallback
    except ValueError as error:
        told = str(error)
    assert "grammar" in (told or "")
    assert time.process_time() - begin < 1


@pytest.fixture(scope="module")
def open_model(tiny_llama: TinyModel) -> Iterator[Model]:
    with Model(tiny_llama.path, n_ctx=512, n_threads=1, n_threads_batch=1, profile="off") as model:
        yield model


Pair = tuple[str, str]  # a grammar and a regular expression that mean the same


def joined(parts: list[Pair], by: str = "", expression_by: str = "") -> Pair:
    return f"({f' {by} '.join(p[0] for p in parts)})", f"(?:{expression_by.join(p[1] for p in parts)})"


expressions: st.SearchStrategy[Pair] = st.recursive(
    st.sampled_from([('"a"', "a"), ('"bc"', "(?:bc)"), ("[a-d]", "[a-d]"), ("[^a-y]", "[^a-y]"), (".", ".")]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(joined)
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: joined(parts, "|", "|"))
        | st.tuples(inner, st.sampled_from(["?", "{0,2}", "{2}", "{1,3}"])).map(
            lambda pair: (f"({pair[0][0]}){pair[1]}", f"(?:{pair[0][1]}){pair[1]}")
        )
    ),
    max_leaves=5,
)


@given(pair=expressions, seed=st.integers(0, 99))
def test_an_answer_is_a_text_of_its_grammar(open_model: Model, pair: Pair, seed: int) -> None:
    grammar = f"root ::= {pair[0]}"
    answer = open_model.generate("a", grammar=grammar, max_tokens=60, temperature=1.5, seed=seed)
    assert answer.finish_reason == "stop"
    assert re.fullmatch(pair[1], answer.text, re.DOTALL)


def test_a_list_of_a_schema_has_as_many_items_as_it_says(open_model: Model) -> None:
    for least, most in ((0, 0), (3, 3), (1, 2)):
        schema = {"type": "array", "items": {"type": "boolean"}, "minItems": least, "maxItems": most}
        for seed in range(5):
            answer = open_model.generate("a", json_schema=schema, max_tokens=100, temperature=1, seed=seed)
            if answer.finish_reason == "stop":
                assert least <= len(json.loads(answer.text)) <= most


def test_characters_of_several_bytes_are_written_byte_by_byte(open_model: Model) -> None:
    assert open_model.generate("a", grammar='root ::= "é→" [à-ü]', max_tokens=20, seed=3).text[:2] == "é→"
