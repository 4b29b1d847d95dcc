"""Whatever is cut, the pieces are the answer, byte for byte."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aspd_local.data import Config, Example, extract, plain_text
from aspd_local.data.example import BlockText, structure
from aspd_local.data.record import from_line, to_line
from aspd_local.data.stages import finish, prepare

LOOSE = Config(min_branches=2, min_words=1, max_longest=1000, lexical=False)

# Pieces of Markdown, sound and broken, and characters that are easily lost on the way.
_MARKUP = (
    "1. |2. |3) |- |* |• |# |## |> |```|~~~|$$|\\[|\\]|**|**B**: |Q1: |<div>|---|===|[a]: b|&amp;|`c`|\\"
)
_ROWS = ["| a | b |", "|---|---|", "First, ", "Second, ", "Title: ", "word ", "Conclusion"]
_SPACE = [
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "   ",
    "\t",
    "\x00",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x85",
    "\ufeff",
    "\u00a0",
]
_LETTERS = ["é", "e\u0301", "😀", "\x1b[0m", "\u200b"]
_PIECES = st.sampled_from([*_MARKUP.split("|"), *_ROWS, *_SPACE, *_LETTERS])
_ANSWERS = st.lists(_PIECES | st.text(max_size=4), min_size=1, max_size=60).map("".join)
_LISTS = st.lists(
    st.tuples(st.sampled_from(["1. ", "2. ", "- ", "## ", "**x** ", "Q: "]), _ANSWERS), min_size=2, max_size=6
).map(lambda items: "\n".join(mark + text for mark, text in items))


def answers() -> st.SearchStrategy[str]:
    """Texts of Markdown's pieces, sound and broken."""
    return _ANSWERS | _LISTS


def is_text(answer: str) -> bool:
    try:
        answer.encode()
    except UnicodeEncodeError:
        return False
    return bool(answer.strip())


@settings(max_examples=300)
@given(answers())
def test_every_run_of_every_answer_gives_the_answer(answer: str) -> None:
    for run in extract(answer, LOOSE)[0]:
        segments = structure(answer, [run])
        assert plain_text(segments).encode("utf-8", "surrogatepass") == answer.encode(
            "utf-8", "surrogatepass"
        )
        assert any(isinstance(segment, BlockText) for segment in segments)
        assert all(begin < end for begin, end in run.spans)
        assert len(set(run.titles)) == len(run.titles)
        assert all(0 < len(title.split()) <= 10 and "\n" not in title for title in run.titles)


@settings(max_examples=100)
@given(answers().filter(is_text))
def test_whole_pipeline_and_its_line_give_the_answer(answer: str) -> None:
    example = Example(number=1, prompt="p", messages=({"role": "user", "content": "p"},), answer=answer)
    record = finish(prepare(example, LOOSE), LOOSE)
    line = to_line(record)
    assert line.count(b"\n") == 1
    again = from_line(line)
    assert plain_text(again.structure).encode() == answer.encode()
    assert again.structure == record.structure
