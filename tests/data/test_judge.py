"""The votes: what is asked, how replies are read, what they decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_endpoint import RecordedEndpoint, Reply, completion

from aspd_local.data import Config, read_line
from aspd_local.data.build import Models, build
from aspd_local.data.checkpoint import Target
from aspd_local.data.endpoint import Endpoint, Settings
from aspd_local.data.example import Example
from aspd_local.data.extract import extract
from aspd_local.data.judge import EndpointJudge, read_vote
from aspd_local.data.record import from_line
from aspd_local.data.stages import finish, prepare

WORDS = "has a text of its own that is long enough for a part"
ANSWER = f"Well:\n\n- **Aa** {WORDS}\n- **Bb** {WORDS}\n- **Cc** {WORDS}\n\nDone."
YES, NO = "It is fine.\nVERDICT: YES", "It is not.\nVERDICT: NO"


@pytest.fixture
def example() -> Example:
    return Example(number=1, prompt="Q?", messages=({"role": "user", "content": "Q?"},), answer=ANSWER)


@pytest.mark.parametrize(
    ("reply", "vote"),
    [
        (YES, "yes"),
        ("VERDICT: NO\nwait\n**Verdict:** yes.", "yes"),
        ("No.", "no"),
        ("yes", "yes"),
        ("I think no part needs another, so yes", "unclear"),
        ("", "unclear"),
    ],
)
def test_how_a_reply_is_read(reply: str, vote: str) -> None:
    assert read_vote(reply) == vote


class Script:
    """Answers by what is asked."""

    def __init__(self, **replies: list[str]) -> None:
        self.replies = replies
        self.prompts: list[str] = []

    def ask(self, prompt: str, n: int) -> list[str]:
        self.prompts.append(prompt)
        if "at the same time" in prompt:
            return self.replies.get("independent", [YES] * n)
        return self.replies.get("form" if "divided well" in prompt else "same", [YES] * n)


def test_all_yes_keeps_the_block(example: Example) -> None:
    script = Script()
    record = finish(prepare(example, Config()), Config(), judge=EndpointJudge(ask=script.ask))
    assert len(record.blocks) == 1
    assert len(script.prompts) == 3
    independent, form, same = script.prompts
    assert "1. Aa\n2. Bb\n3. Cc" in independent
    assert f"<part>\n- **Bb** {WORDS}\n</part>" in independent
    assert "Done." not in independent
    assert f'<part title="Bb">\n- **Bb** {WORDS}\n</part>' in form
    assert ANSWER in same


@pytest.mark.parametrize(
    ("replies", "reason", "evidence"),
    [
        ({"independent": [YES, NO, YES]}, "not independent", "2 yes, 1 no, 0 unclear"),
        ({"form": [YES, YES, "hm"]}, "badly divided", "2 yes, 0 no, 1 unclear"),
        ({"same": [NO, NO, NO]}, "not the same answer", "0 yes, 3 no, 0 unclear"),
    ],
)
def test_one_other_vote_makes_it_serial(
    example: Example, replies: dict[str, list[str]], reason: str, evidence: str
) -> None:
    script = Script(**replies)
    record = finish(prepare(example, Config()), Config(), judge=EndpointJudge(ask=script.ask))
    assert record.blocks == ()
    (decision,) = record.decisions
    assert (decision.outcome, decision.stage) == ("rejected", "judge")
    assert (decision.reason, decision.evidence) == (reason, evidence)


def test_serial_answers_are_not_asked_about() -> None:
    script = Script()
    found = read_line('{"prompt": "a", "answer": "b"}')
    assert isinstance(found, Example)
    finish(prepare(found, Config()), Config(), judge=EndpointJudge(ask=script.ask))
    assert script.prompts == []


def test_braces_in_a_text_do_no_harm() -> None:
    odd = Example(number=1, prompt="{0} {x}", messages=({"role": "user", "content": "{0}"},), answer=ANSWER)
    script = Script()
    (run,) = extract(odd.answer, Config())[0]
    assert EndpointJudge(ask=script.ask).independent(odd, run) is None
    assert "{0}" in script.prompts[0]


def test_build_with_a_recorded_endpoint_asks_once_and_goes_on(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """The second run, from the cache, gives the same bytes without a request."""
    answers = write(*({"prompt": f"Q{i}?", "answer": ANSWER.replace("Aa", f"Aa{i}")} for i in range(3)))
    config = Config(judge="recorded")

    def answer(body: dict[str, object], _: int) -> Reply:
        return completion(NO if "Q1?" in str(body["messages"]) else YES)

    outs = [tmp_path / "first", tmp_path / "second"]
    with RecordedEndpoint(answer) as recorded:
        for out in outs:
            with Endpoint(Settings(url=recorded.url, model="m"), tmp_path / "cache") as endpoint:
                judge = EndpointJudge(ask=endpoint.ask)
                build(answers, Target(path=out), config, models=Models(judge=judge))
        assert len(recorded.requests) == 3 * (3 + 1 + 3)
    assert outs[0].read_bytes() == outs[1].read_bytes()
    blocks = [len(from_line(line).blocks) for line in outs[0].read_bytes().splitlines()]
    assert blocks == [1, 0, 1]
