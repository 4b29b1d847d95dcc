"""One model, any number of threads and tasks: they share its steps and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aspd_local import Answer, DecodeError, Done, Model, Text, _core
from tiny.files import TinyModel
from tiny.script import Script, write_scripted
from tiny.stories import STORY, STORY_END, block
from tiny.vocabulary import EOS

TEXT = "Hm" + "".join(f"{title}:{body}" for title, body in STORY.items()) + STORY_END
EXACT: dict[str, Any] = {
    "n_ctx": 512,
    "n_threads": 1,
    "n_threads_batch": 1,
    "flash_attn": "off",
    "cache_type": "f32",
    "profile": "off",
}


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> TinyModel:
    script = Script([f"assistant\nHm{block(STORY)}{STORY_END}{EOS}"])
    return write_scripted(tiny_folder / "shared.gguf", script, seed=17)


@pytest.fixture
def model(tiny: TinyModel) -> Iterator[Model]:
    with Model(tiny.path, **EXACT) as model:
        yield model
        assert_nothing_left(model)


class Wrapped:
    """An engine that does something else in its steps."""

    def __init__(self, engine: _core.Engine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


class Counting(Wrapped):
    """Counts its steps."""

    n_steps = 0

    def step(self) -> list[_core.Event]:
        self.n_steps += 1
        return self.engine.step()

    def during(self, call: Callable[[], object]) -> int:
        """Steps of a call."""
        before = self.n_steps
        call()
        return self.n_steps - before


def assert_nothing_left(model: Model) -> None:
    gc.collect()
    model.reset()
    assert not model.has_work
    assert model.engine.cells_in_use == 0
    assert model.engine.sequences_free == model.engine.n_sequences


def ask(model: Model, i: int) -> Answer:
    return model.chat(f"Hello {i}", temperature=0)


@pytest.mark.timeout(300)
def test_five_hundred_answers_of_threads_and_tasks_at_random_moments(model: Model) -> None:
    n_threads, n_tasks, n_answers = 8, 32, 500
    numbers = iter(range(n_answers))
    told: dict[int, str] = {}
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        moments = random.Random(seed)
        try:
            for i in numbers:
                time.sleep(moments.random() * 0.002)
                way = moments.randrange(3)
                if way == 0:
                    told[i] = ask(model, i).text
                elif way == 1:
                    told[i] = "".join(model.stream_text(f"Hello {i}", temperature=0))
                else:
                    told[i] = model.generate("assistant\n", temperature=0).text
        except BaseException as error:  # told below
            failures.append(error)

    async def task(seed: int) -> None:
        moments = random.Random(100 + seed)
        for i in numbers:
            await asyncio.sleep(moments.random() * 0.002)
            told[i] = (await model.achat(f"Hello {i}", temperature=0)).text

    async def tasks() -> None:
        await asyncio.gather(*(task(seed) for seed in range(n_tasks)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(n_threads)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    assert failures == []
    assert told == dict.fromkeys(range(n_answers), TEXT)


def test_answers_of_threads_and_tasks_share_steps(tiny: TinyModel) -> None:
    with Model(tiny.path, **EXACT) as model, ThreadPoolExecutor(4) as pool:
        counted = Counting(model.engine)
        model.parts.steps.replace_engine(counted)  # type: ignore[arg-type]
        alone = counted.during(lambda: ask(model, 9))
        ready = threading.Barrier(4)

        def answer(i: int) -> Answer:
            ready.wait()
            return ask(model, i)

        async def answers() -> None:
            await asyncio.gather(*(model.achat(f"Hello {i}", temperature=0) for i in range(4)))

        assert counted.during(lambda: list(pool.map(answer, range(4)))) < 2 * alone
        assert counted.during(lambda: asyncio.run(answers())) < 2 * alone


def test_what_an_answer_waits_for_goes_before_the_next_step(model: Model) -> None:
    """While one thread answers without a pause, the others submit, reset and save."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            ask(model, 0)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        begin = time.monotonic()
        for i in range(20):
            assert ask(model, i).text == TEXT
            model.reset()
        assert time.monotonic() - begin < 60
    finally:
        stop.set()
        thread.join()


def test_an_answer_begins_while_another_is_under_way(model: Model) -> None:
    async def both() -> list[str]:
        first = asyncio.create_task(model.achat("Hello", temperature=0))
        await asyncio.sleep(0.003)
        second = asyncio.create_task(model.achat("Hello again", temperature=0))
        return [(await each).text for each in (first, second)]

    assert asyncio.run(both()) == [TEXT, TEXT]


@pytest.mark.parametrize("pause_s", [0, 0.001, 0.01])
def test_a_task_that_is_cancelled_twice_is_cancelled(model: Model, pause_s: float) -> None:
    async def cancel() -> str:
        tasks = [asyncio.create_task(model.achat(f"Hello {i}", temperature=0)) for i in range(3)]
        await asyncio.sleep(pause_s)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.sleep(0)
        for task in tasks[:2]:
            task.cancel()
        for task in tasks[:2]:
            with pytest.raises(asyncio.CancelledError):
                await task
        return (await tasks[2]).text

    assert asyncio.run(cancel()) == TEXT


def test_a_cancelled_answer_frees_its_cells_though_nobody_asks_again(model: Model) -> None:
    async def cancel(pause_s: float) -> None:
        task = asyncio.create_task(model.achat("Hello", temperature=0))
        await asyncio.sleep(pause_s)
        task.cancel()
        await asyncio.wait([task])

    for i in range(200):  # before, while and after it is submitted, in its steps, behind its end
        asyncio.run(cancel(i * 5e-5))
        assert not model.has_work


def test_generators_that_are_left_open_leave_nothing(model: Model) -> None:
    events = model.stream("Hello", temperature=0)
    next(events)
    del events
    assert_nothing_left(model)

    async def leave() -> None:
        async for _ in model.astream("Hello", temperature=0):
            break

    asyncio.run(leave())
    assert_nothing_left(model)

    kept: list[Any] = []

    async def keep() -> None:
        kept.append(model.astream("Hello", temperature=0))
        await kept[0].__anext__()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(keep())
    loop.close()  # without asking the generators to end
    kept.clear()
    assert_nothing_left(model)
    assert ask(model, 1).text == TEXT


def test_an_open_generator_hinders_nobody(model: Model) -> None:
    open_streams = [model.stream(f"Hello {i}", temperature=0) for i in range(3)]
    for events in open_streams:
        next(events)
    assert ask(model, 7).text == TEXT
    for events in open_streams:
        last = list(events)[-1]
        assert isinstance(last, Done)
        assert last.result.text == TEXT


def test_cancel_from_another_thread_ends_all(model: Model) -> None:
    streams = [model.stream(f"Hello {i}", temperature=0) for i in range(2)]
    for events in streams:
        next(events)
    thread = threading.Thread(target=model.cancel)
    thread.start()
    thread.join()
    for events in streams:
        last = list(events)[-1]
        assert isinstance(last, Done)
        assert last.result.finish_reason == "cancelled"


# --- closing -----------------------------------------------------------------------------------------------


def test_close_ends_streams_and_frees_the_engine(tiny: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aspd_local.instructions.LEAST_PARAMETERS", 0)
    model = Model(tiny.path, **EXACT)
    freed = weakref.ref(model.engine)
    stream, loose = model.stream("Hello", temperature=0), model.prepare("Hello again")
    assert isinstance(next(stream), Text)
    model.submit(loose)
    model.close()
    assert freed() is None
    for call in (
        lambda: next(stream),
        lambda: ask(model, 1),
        model.step,
        lambda: model.submit(loose),
        model.reset,
        lambda: asyncio.run(model.achat("Hello")),
    ):
        with pytest.raises(ValueError, match="the model is closed"):
            call()
    model.close()
    model.cancel()
    assert "closed" in repr(model)


def test_close_while_threads_and_tasks_wait(tiny: TinyModel) -> None:
    model = Model(tiny.path, **{**EXACT, "n_ctx": 4096})
    errors: list[str] = []
    begun = threading.Barrier(4)

    def answers() -> None:
        for i in range(10_000):
            ask(model, i)

    async def tasks() -> None:
        for i in range(10_000):
            await model.achat(f"Hello {i}", temperature=0)

    def work(ask_all: Callable[[], object]) -> None:
        begun.wait()
        try:
            ask_all()
        except ValueError as error:
            errors.append(str(error))

    calls: list[Callable[[], object]] = [answers, answers, lambda: asyncio.run(tasks())]
    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    begun.wait()
    time.sleep(0.05)
    model.close()
    for thread in threads:
        thread.join(30)
    assert errors == ["the model is closed"] * 3


# --- failures ----------------------------------------------------------------------------------------------


class Failing(Wrapped):
    """One step of it fails, and takes requests with it."""

    when = 0  # in so many steps
    ids: tuple[int, ...] = ()

    def step(self) -> list[_core.Event]:
        self.when -= 1
        if self.when == 0:
            for request_id in self.ids:
                self.engine.cancel(request_id)
            raise DecodeError(-1, "no memory")
        return self.engine.step()


def test_a_step_that_fails_is_told_to_those_whose_it_was(tiny: TinyModel) -> None:
    with Model(tiny.path, **EXACT) as model:
        failing = Failing(model.engine)
        model.parts.steps.replace_engine(failing)  # type: ignore[arg-type]
        first, second = model.stream("Hello", temperature=0), model.stream("Hello again", temperature=0)
        next(first)
        next(second)
        failing.ids = (1,)
        failing.when = 1
        assert list(second)[-1].result.text == TEXT  # type: ignore[union-attr]
        with pytest.raises(DecodeError, match="no memory"):
            list(first)
        assert ask(model, 1).text == TEXT


def test_ctrl_c_in_a_wait_leaves_a_model_that_answers(tiny: TinyModel) -> None:
    with Model(tiny.path, **EXACT) as model:

        def interrupt() -> list[_core.Event]:
            raise KeyboardInterrupt

        events = model.stream("Hello", temperature=0)
        next(events)
        failing = Failing(model.engine)
        real: Callable[[], list[_core.Event]] = failing.step
        failing.step = interrupt  # type: ignore[method-assign]
        model.parts.steps.replace_engine(failing)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            list(events)
        failing.step = real  # type: ignore[method-assign]
        assert ask(model, 1).text == TEXT
        assert_nothing_left(model)


# --- what is remembered ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", ["off", "auto"])
@pytest.mark.parametrize("stop", ["o", "wo", "é", "So"])
def test_what_a_stop_string_cut_off_does_not_come_back(model: Model, parallel: str, stop: str) -> None:
    options: dict[str, Any] = {"temperature": 0, "parallel": parallel, "max_tokens": 60}
    cut = model.chat("Hello", stop=stop, **options)
    other = [
        {"role": "user", "content": "Another chat"},
        {"role": "assistant", "content": cut.text},
        {"role": "user", "content": "And?"},
    ]
    if not cut.text:
        pytest.skip("nothing stands before it")
    shown = [model.prepare(other, parallel=way).request.prompt.token_ids for way in ("off", "auto")]  # type: ignore[arg-type]
    model.reset()
    fresh = [model.prepare(other, parallel=way).request.prompt.token_ids for way in ("off", "auto")]  # type: ignore[arg-type]
    texts = [[model.detokenize(ids) for ids in each] for each in (shown, fresh)]
    assert texts[0] == texts[1]
