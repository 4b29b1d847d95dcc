"""The unmodified openai package against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest
from served import QUESTION, TEXT, Running


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_whole_answer(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="story", messages=QUESTION, temperature=0)  # type: ignore[arg-type]
    assert found.choices[0].message.content == TEXT
    assert found.usage is not None
    assert found.usage.completion_tokens > 0


@pytest.mark.parametrize("live", [False, True])
def test_ordinary_loop_prints_the_text(client: openai.OpenAI, live: bool) -> None:
    extra = {"aspd": {"stream": "live"}} if live else None
    found = client.chat.completions.create(
        model="story",
        messages=QUESTION,  # type: ignore[arg-type]
        temperature=0,
        stream=True,
        extra_body=extra,
    )
    assert isinstance(found, openai.Stream)
    pieces = [chunk.choices[0].delta.content or "" for chunk in found]
    assert "".join(pieces) == TEXT


def test_stream_helper_gives_the_final_text(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="story", messages=QUESTION, temperature=0) as events:  # type: ignore[arg-type]
        for _ in events:
            pass
        assert events.get_final_completion().choices[0].message.content == TEXT


def test_errors_have_their_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=QUESTION)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="the context is full"):
        client.chat.completions.create(model="story", messages=[{"role": "user", "content": "x" * 5000}])


def test_models_and_completions(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["story"]
    found = client.completions.create(model="story", prompt="assistant\n", temperature=0, max_tokens=2)
    assert found.choices[0].text == "Hm"


def test_many_at_once_do_not_mix(server: Running) -> None:
    async def all_of_them() -> list[str | None]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.address}/v1", api_key="none", max_retries=0
        ) as client:

            async def one(i: int) -> str | None:
                messages = [{"role": "user", "content": f"Hello {i}"}]
                found = await client.chat.completions.create(
                    model="story",
                    messages=messages,  # type: ignore[arg-type]
                    temperature=0,
                )
                return found.choices[0].message.content

            return await asyncio.gather(*(one(i) for i in range(40)))

    assert asyncio.run(all_of_them()) == [TEXT] * 40
