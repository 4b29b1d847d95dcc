"""Oracle 5: the layout function lays an answer out exactly as the engine has decoded it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aspd_local import _core
from aspd_local.layout import JOIN_RULES, Block, JoinRule, Segment, Trunk, lay_out, structure
from driver import answer, aspd, open_engine, python_layout, request
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import block, plan
from tiny.vocabulary import BRANCH, BRANCH_END, EOS, PARA_END

FIRST = {"a": "one", "b": "two2", "c": "3"}
SECOND = {"d": "four", "e": "fivefive"}


@pytest.fixture(scope="module")
def two_blocks(tiny_folder: Path) -> TinyModel:
    """A text with two blocks; it would go on with a third if it were allowed to."""
    texts = [f"1Well{block(FIRST)}M{block(SECOND)}", f"M.{EOS}"]
    return write_scripted(tiny_folder / "two_blocks.gguf", Script(texts), seed=12)


def _tell(tiny: TinyModel, rule: JoinRule) -> tuple[list[int], _core.Result]:
    ids = tiny.vocabulary.encode("Tell me: 1")
    protocol = aspd(tiny.vocabulary, rule)
    protocol.max_blocks = 2
    return ids, answer(open_engine(tiny), request(ids, protocol))


def _block(result: _core.Result, number: int) -> Block:
    return Block([branch.token_ids for branch in result.blocks[number].branches])


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_answer_has_the_blocks_of_its_script(two_blocks: TinyModel, rule: JoinRule) -> None:
    encode = two_blocks.vocabulary.encode
    _, result = _tell(two_blocks, rule)
    for number, branches in enumerate((FIRST, SECOND)):
        texts = [f"{BRANCH}{title}:{body}{BRANCH_END}" for title, body in branches.items()]
        assert _block(result, number) == Block([encode(text) for text in texts])
    assert len(result.blocks) == 2


@pytest.mark.parametrize("rule", JOIN_RULES)
def test_layout_function_equals_the_engines_record(two_blocks: TinyModel, rule: JoinRule) -> None:
    encode = two_blocks.vocabulary.encode
    ids, result = _tell(two_blocks, rule)
    written: list[Segment] = [
        Trunk(encode("Well" + plan(FIRST))),
        _block(result, 0),
        Trunk(encode(f"{PARA_END}M" + plan(SECOND))),
        _block(result, 1),
        Trunk(encode(f"{PARA_END}M.")),
    ]
    expected = lay_out(written, rule, start=len(ids), reentry=True)
    assert python_layout(result.layout, expected.next_position) == expected


@pytest.mark.parametrize("rule", ["sum", "longest"])
def test_structure_of_an_answers_layout_is_its_blocks(two_blocks: TinyModel, rule: JoinRule) -> None:
    _, result = _tell(two_blocks, rule)
    blocks = [part for part in structure(python_layout(result.layout, 0)) if isinstance(part, Block)]
    assert blocks == [_block(result, 0), _block(result, 1)]
