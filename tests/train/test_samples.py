"""Samples have the ids and places that the engine has when it writes the same answer."""

from __future__ import annotations

from training_records import FILE, PLAIN, STORY, block, record

from aspd_local import _core, protocol
from aspd_local.data.example import BlockText, TrunkText
from aspd_local.layout import structure
from aspd_local.train import Kind, Markers, SampleMaker
from aspd_local.train.samples import merged, planned
from driver import open_engine, run
from tiny.files import TinyModel


def test_layout_of_a_sample_is_that_of_the_engine_writing_the_same_answer(
    tiny_llama: TinyModel, maker: SampleMaker, markers: Markers
) -> None:
    sample = maker.make(STORY)
    model = _core.Model.load(str(tiny_llama.path), _core.ModelOptions())
    layout, kinds = sample.layout, sample.kinds
    n_prompt = kinds.count(Kind.PROMPT)
    learnt = [kind not in (Kind.PROMPT, Kind.SEED) for kind in kinds]
    rows = list(zip(layout.token_ids, layout.block_ids, layout.branch_ids, learnt, strict=True))
    script = [[token for token, _, branch, own in rows if own and branch == number] for number in range(4)]

    request = _core.Request()
    request.prompt = _core.Layout(
        list(layout.token_ids[:n_prompt]), list(range(n_prompt)), [0] * n_prompt, [0] * n_prompt
    )
    request.protocol = protocol.bind(FILE, model)
    request.script = script
    request.max_branches = 8
    engine = open_engine(tiny_llama)
    engine.submit(request)
    said = run(engine)[-1].result.layout

    end = slice(n_prompt, len(layout) - 1)  # the end of the turn has no cell
    assert tuple(said.token_ids) == layout.token_ids[end]
    assert tuple(said.positions) == layout.positions[end]
    assert tuple(said.block_ids) == layout.block_ids[end]
    assert tuple(said.branch_ids) == layout.branch_ids[end]
    assert engine.cells_in_use >= 0
    assert set(markers.ids.values()) <= set(said.token_ids)


def test_what_the_engine_feeds_has_no_loss(maker: SampleMaker, markers: Markers) -> None:
    sample = maker.make(STORY)
    fed = {
        token
        for token, kind in zip(sample.layout.token_ids, sample.kinds, strict=True)
        if kind == Kind.SEED and token in markers.ids.values()
    }
    assert fed == {markers.ids["branch_open"], markers.ids["para_close"]}
    assert all(
        before >= 0
        for before, kind in zip(sample.predecessors, sample.kinds, strict=True)
        if kind not in (Kind.PROMPT, Kind.SEED)
    )


def test_parts_of_a_sample_are_counted_apart(maker: SampleMaker) -> None:
    kinds = maker.make(STORY).kinds
    assert all(kinds.count(kind) > 0 for kind in Kind)
    assert kinds.count(Kind.MARKER) == 3 * 2 + 1 + 3 + 1  # titles, the fork, the branches' ends, the end


def test_a_title_opens_its_branch_and_is_written_once(tiny_llama: TinyModel, maker: SampleMaker) -> None:
    sample = maker.make(STORY)
    model = _core.Model.load(str(tiny_llama.path), _core.ModelOptions())
    pieces = [
        model.piece(token)
        for token, kind in zip(sample.layout.token_ids, sample.kinds, strict=True)
        if kind in (Kind.TRUNK, Kind.SEED, Kind.BODY, Kind.TAIL)
    ]
    assert b"".join(pieces).decode() == STORY.answer
    (_, written, _) = STORY.structure
    assert isinstance(written, BlockText)
    assert planned(written) == ("- the kitchen is warm", "- the cellar is dark and", "- dust")


def test_block_whose_parts_begin_with_blank_lines_has_no_plan() -> None:
    assert planned(block(A="\n- a thing\n", B="\n- b thing\n")) == ()


def test_serial_layout_is_the_plain_text(maker: SampleMaker) -> None:
    serial, parallel = maker.make(STORY, "serial"), maker.make(STORY)
    assert not serial.parallel
    assert parallel.parallel
    assert serial.n_plain == parallel.n_plain == len(serial) - serial.kinds.count(Kind.PROMPT)
    assert len(structure(serial.layout)) == 1


def test_record_without_a_block_is_serial_in_both_layouts(maker: SampleMaker) -> None:
    assert maker.make(PLAIN) == maker.make(PLAIN, "serial")


def test_end_of_a_cut_answer_is_not_learnt(maker: SampleMaker) -> None:
    whole = record("Is it?", TrunkText(text="It is"))
    cut = record("Is it?", TrunkText(text="It is"), cut=True)
    assert maker.make(whole).kinds[-1] == Kind.MARKER
    assert maker.make(cut).kinds[-1] == Kind.SEED


def test_block_right_behind_a_block_becomes_trunk() -> None:
    first, second = block(A="- a\n", B="- b\n"), block(C="- c\n", D="- d\n")
    assert merged([first, second, TrunkText(text="end")]) == [first, TrunkText(text="- c\n- d\nend")]
    assert merged([TrunkText(text=""), first, TrunkText(text=""), second]) == [
        first,
        TrunkText(text="- c\n- d\n"),
    ]
