"""Models that are no plain decoders: they decode serially, or say that they cannot; nothing aborts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aspd_local import Model, _core
from aspd_local.errors import ModelError
from aspd_local.layout import Block, Trunk, lay_out
from driver import answer, aspd, core_layout, open_engine, request, run
from tiny.encoders import write_bert, write_llada, write_llama_embed, write_t5, write_t5_encoder
from tiny.files import TinyModel, write_rwkv7
from tiny.vocabulary import BOS, EOS

PROMPT = [33, 34, 35, 36]
SERIAL = ["tiny_mamba", "tiny_rwkv7", "tiny_lfm2", "tiny_t5"]


@pytest.fixture(params=SERIAL)
def serial(request: pytest.FixtureRequest) -> TinyModel:
    tiny: TinyModel = request.getfixturevalue(request.param)
    return tiny


@pytest.fixture
def t5(tiny_t5: TinyModel) -> _core.Engine:
    return open_engine(tiny_t5)


@pytest.fixture
def request_(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    """pytest's own `request`, under a name that does not hide the driver's."""
    return request


def said(engine: _core.Engine, prompt: list[int], **options: Any) -> list[int]:
    return answer(engine, request(prompt, **({"max_tokens": 10} | options))).layout.token_ids


def check_empty(engine: _core.Engine) -> None:
    engine.clear_retained()
    assert engine.cells_in_use == 0
    assert engine.sequences_free == engine.n_sequences


# --- all that decode serially -------------------------------------------------------------------------------


def test_serial_model_says_why_and_answers_alike_each_time(serial: TinyModel) -> None:
    engine = open_engine(serial)
    assert not engine.can_join
    wanted = request(PROMPT, aspd(serial.vocabulary, "sum"), max_tokens=10, retain=False)
    first = answer(engine, wanted)
    assert first.fallback == engine.cannot_join_reason != ""
    assert first.blocks == []
    assert len(first.layout.token_ids) == 10
    assert said(engine, [*PROMPT, 37], retain=False) != first.layout.token_ids
    assert answer(engine, wanted).layout.token_ids == first.layout.token_ids
    assert said(open_engine(serial), PROMPT) == first.layout.token_ids
    check_empty(engine)


def test_shorter_answer_of_a_serial_model_begins_the_longer_one(serial: TinyModel) -> None:
    engine = open_engine(serial, n_retained=0)
    longest = said(engine, PROMPT, max_tokens=12)
    assert [said(engine, PROMPT, max_tokens=n) for n in range(1, 12)] == [longest[:n] for n in range(1, 12)]


def test_answer_of_a_serial_model_follows_its_prompt(serial: TinyModel) -> None:
    result = answer(open_engine(serial), request(PROMPT, max_tokens=5))
    assert result.layout.positions == [4, 5, 6, 7, 8]
    assert result.timings.prompt_tokens == len(PROMPT)
    assert result.timings.prompt_s > 0


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5])
def test_cancelled_request_of_a_serial_model_gives_everything_back(serial: TinyModel, n_steps: int) -> None:
    engine = open_engine(serial)
    expected = said(engine, PROMPT, retain=False)
    request_id = engine.submit(request([40, *PROMPT], max_tokens=50))
    for _ in range(n_steps):
        engine.step()
    engine.cancel(request_id)
    (done,) = (event for event in run(engine) if event.kind == _core.EventKind.DONE)
    assert done.result.finish_reason == _core.FinishReason.CANCELLED
    check_empty(engine)
    assert said(engine, PROMPT, retain=False) == expected


def test_requests_of_a_serial_model_that_wait_for_each_other_are_all_answered(serial: TinyModel) -> None:
    engine = open_engine(serial, n_requests=1)
    prompts = [PROMPT, [40, 41], PROMPT, [*PROMPT, 37]]
    expected = [said(engine, prompt, retain=False) for prompt in prompts]
    for prompt in prompts:
        engine.submit(request(prompt, max_tokens=10, retain=False))
    done = [event.result for event in run(engine) if event.kind == _core.EventKind.DONE]
    assert [result.layout.token_ids for result in done] == expected
    check_empty(engine)


@pytest.mark.parametrize("tiny", ["tiny_llama", *SERIAL])
def test_smallest_context_has_256_cells(request_: pytest.FixtureRequest, tiny: str) -> None:
    engine = open_engine(request_.getfixturevalue(tiny), n_ctx=1)
    assert engine.n_cells == 256
    assert len(said(engine, PROMPT, max_tokens=5)) == 5


# --- an encoder reads the prompt ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [[34, 34, 35, 36], [33, 34, 35], [36, 35, 34, 33], [33, 34, 35, 37]],
    ids=["first token", "length", "order", "last token"],
)
def test_answer_depends_on_what_the_encoder_reads(t5: _core.Engine, other: list[int]) -> None:
    assert said(t5, other) != said(t5, PROMPT)


@pytest.mark.parametrize(
    "options",
    [
        {"flash_attn": "on"},
        {"flash_attn": "auto"},
        {"n_ctx": 1, "n_batch": 1},
        {"n_lanes": 128, "n_requests": 100, "n_retained": 64, "n_outputs_max": 65536},
        {"n_threads": 2, "n_threads_batch": 2},
    ],
    ids=str,
)
def test_answer_of_an_encoder_model_does_not_depend_on_the_options(
    t5: _core.Engine, tiny_t5: TinyModel, options: dict[str, Any]
) -> None:
    assert said(open_engine(tiny_t5, **options), PROMPT) == said(t5, PROMPT)


def test_encoder_model_answers_one_request_at_a_time_and_retains_none(tiny_t5: TinyModel) -> None:
    engine = open_engine(tiny_t5, n_requests=4, n_retained=4)
    assert (engine.options.n_requests, engine.options.n_retained) == (1, 0)
    expected = said(engine, PROMPT, retain=True)
    assert engine.cells_in_use == 0
    result = answer(engine, request(PROMPT, max_tokens=10))
    assert result.timings.cached_tokens == 0
    assert result.layout.token_ids == expected


def test_decoder_starts_from_the_token_that_the_file_names(tmp_path: Path) -> None:
    def begin(name: str, keys: dict[str, Any]) -> list[int]:
        return said(open_engine(write_t5(tmp_path / name, seed=1, keys=keys)), PROMPT)

    bos = write_t5(tmp_path / "any.gguf").vocabulary[BOS]
    by_name = begin("bos.gguf", {"decoder_start_token_id": bos})
    assert by_name == begin("none.gguf", {"decoder_start_token_id": None})
    assert by_name != begin("other.gguf", {"decoder_start_token_id": 50})


@pytest.mark.parametrize("start", [10**6, 2**31 - 1])
def test_decoder_that_starts_from_no_token_is_a_model_error(tmp_path: Path, start: int) -> None:
    tiny = write_t5(tmp_path / "t5.gguf", keys={"decoder_start_token_id": start})
    with pytest.raises(ModelError, match="no token for the decoder to start from"):
        open_engine(tiny)


def test_prompt_that_fills_the_batch_is_read_and_a_longer_one_is_a_value_error(tiny_t5: TinyModel) -> None:
    engine = open_engine(tiny_t5, n_ctx=256, n_batch=20)
    assert len(said(engine, [33] * 20)) == 10
    with pytest.raises(ValueError, match="n_batch is 20, the prompt has 21 tokens"):
        engine.submit(request([33] * 21))
    assert not engine.has_work
    whole = open_engine(tiny_t5, n_ctx=256, n_batch=512)
    assert len(said(whole, [33] * 255)) == 10  # the answer has the cells to itself


def test_answer_of_an_encoder_model_that_fills_the_context_ends_with_length(tiny_t5: TinyModel) -> None:
    engine = open_engine(tiny_t5, n_ctx=256)
    eos = tiny_t5.vocabulary[EOS]
    result = answer(engine, request(PROMPT, logit_bias=[(eos, -1e9)]))
    assert result.finish_reason == _core.FinishReason.LENGTH
    check_empty(engine)


@pytest.mark.parametrize("call", ["score", "logits"])
def test_likelihood_of_a_text_alone_is_a_value_error_in_an_encoder_model(t5: _core.Engine, call: str) -> None:
    with pytest.raises(ValueError, match="encoder"):
        getattr(t5, call)(core_layout(lay_out([Trunk(PROMPT)], "sum")))
    check_empty(t5)


def test_branches_in_the_prompt_of_an_encoder_model_are_a_value_error(t5: _core.Engine) -> None:
    with pytest.raises(ValueError, match="encoder"):
        t5.submit(request(lay_out([Trunk([1]), Block([[2], [3]]), Trunk([4])], "sum")))


def test_quantised_cache_of_an_encoder_model_is_a_value_error(tiny_t5: TinyModel) -> None:
    with pytest.raises(ValueError, match="q8_0"):
        open_engine(tiny_t5, cache_type="q8_0", flash_attn="auto")


def test_state_of_an_encoder_model_is_empty(t5: _core.Engine) -> None:
    result = answer(t5, request(PROMPT, max_tokens=3))
    assert t5.save_state(result.layout) == b""


def test_text_for_an_encoder_ends_with_eos(tiny_t5: TinyModel) -> None:
    with Model(tiny_t5.path, n_threads=1, n_threads_batch=1) as model:
        assert model.core.add_eos
        ids = [*model.tokenize("Hello"), tiny_t5.vocabulary[EOS]]
        result = model.generate("Hello", max_tokens=5, temperature=0.0)
        assert result.usage.prompt_tokens == len(ids)
        assert result.fallback == "an encoder reads the prompt"
        with pytest.raises(ValueError, match="no longer holds"):
            model.save_session(tiny_t5.path.with_suffix(".session"))
        expected = said(model.engine, ids, max_tokens=5)
        assert result.text == model.detokenize(expected)


@pytest.mark.parametrize(
    "keys",
    [
        {"decoder_block_count": 0},
        {"attention.relative_buckets_count": 3},
        {"attention.head_count_kv": 2},
        {"attention.head_count_kv": [4, 2]},
        {"attention.value_length": 32},
        {"embedding_length_out": 63},
        {"embedding_length_out": 1024},
    ],
    ids=str,
)
def test_file_that_would_abort_in_the_encoder_is_refused(tmp_path: Path, keys: dict[str, Any]) -> None:
    tiny = write_t5(tmp_path / "t5.gguf", keys=keys)
    with pytest.raises(ModelError, match=next(iter(keys))):
        _core.check_gguf(str(tiny.path))


@pytest.mark.parametrize(
    "keys", [{"wkv.head_size": 16}, {"wkv.head_size": 192}, {"token_shift_count": 1}], ids=str
)
def test_file_that_would_overrun_the_kernel_is_refused(tmp_path: Path, keys: dict[str, Any]) -> None:
    tiny = write_rwkv7(tmp_path / "rwkv7.gguf", keys=keys)
    with pytest.raises(ModelError, match=next(iter(keys))):
        _core.check_gguf(str(tiny.path))


def test_pooling_that_a_file_asks_for_changes_no_answer(t5: _core.Engine, tmp_path: Path) -> None:
    pooled = write_t5(tmp_path / "t5.gguf", seed=1, keys={"pooling_type": 1})
    assert said(open_engine(pooled), PROMPT) == said(t5, PROMPT)


# --- models that cannot decode ------------------------------------------------------------------------------


@pytest.mark.parametrize("flash_attn", ["off", "auto"])
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        pytest.param(write_bert, "makes embeddings", id="bert"),
        pytest.param(write_t5_encoder, "no decoder", id="t5 encoder"),
        pytest.param(write_llada, "diffusion", id="diffusion"),
        pytest.param(
            lambda path: write_llama_embed(path, causal=False), "makes embeddings", id="sees what comes after"
        ),
        pytest.param(
            lambda path: write_llama_embed(path, causal=True), "no head that predicts", id="no head"
        ),
    ],
)
def test_model_that_cannot_decode_is_a_model_error_but_tokenises(
    tmp_path: Path, write: Callable[[Path], TinyModel], reason: str, flash_attn: str
) -> None:
    tiny = write(tmp_path / "tiny.gguf")
    with pytest.raises(ModelError, match=reason) as caught:
        open_engine(tiny, flash_attn=flash_attn)
    assert caught.value.path == str(tiny.path)
    options = _core.ModelOptions()
    options.vocab_only = True
    assert _core.Model.load(str(tiny.path), options).tokenize("Hi", False) == tiny.vocabulary.encode("Hi")


def test_model_of_the_package_says_that_it_cannot_decode(tiny_bert: TinyModel) -> None:
    with pytest.raises(ModelError, match="makes embeddings"):
        Model(tiny_bert.path)
