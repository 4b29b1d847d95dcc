"""An example of the data pipeline as token ids with their places: what a model reads, and what it learns.

Uses the one layout function (DESIGN, section 3). Seeds and bodies are tokenised apart, as the engine does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from aspd_local.data.example import BlockText, Segment, TrunkText
from aspd_local.data.titles import openings
from aspd_local.layout import Block, Layout, Trunk, lay_out, predecessors
from aspd_local.layout import Segment as Ids
from aspd_local.protocol import ProtocolFile
from aspd_local.train.config import LayoutName, TrainRule
from aspd_local.train.markers import Markers

if TYPE_CHECKING:
    from aspd_local.data.record import Record
    from aspd_local.train.vocabulary import Vocabulary


class Kind(IntEnum):
    """What a token is. PROMPT and SEED are fed, never sampled: they have no loss."""

    PROMPT = 0
    SEED = 1  # what a branch or the trunk behind a join begins with
    TRUNK = 2
    MARKER = 3  # of a plan, or the end of a branch or of the answer
    TITLE = 4
    BODY = 5
    TAIL = 6  # trunk behind a join


LEARNT = frozenset(Kind) - {Kind.PROMPT, Kind.SEED}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A text to learn from.

    Attributes:
        layout: ids and places, [n_tokens].
        kinds: [n_tokens].
        predecessors: index of the token that predicts each, [n_tokens]; -1 where nothing does.
        n_plain: tokens of the answer's plain text, its end included: what losses are divided by, so that
            layouts can be compared.
        parallel: it has a block.
    """

    layout: Layout
    kinds: tuple[Kind, ...]
    predecessors: tuple[int, ...]
    n_plain: int
    parallel: bool

    def __len__(self) -> int:
        return len(self.layout)

    @property
    def n_learnt(self) -> int:
        """Tokens with a loss."""
        return sum(kind in LEARNT for kind in self.kinds)


class SampleMaker:
    """Makes samples for one vocabulary and one protocol."""

    def __init__(
        self, vocabulary: Vocabulary, markers: Markers, file: ProtocolFile, rule: TrainRule = "sum"
    ) -> None:
        self._vocabulary = vocabulary
        self._markers = markers
        self._file = file
        self._rule: TrainRule = rule
        self._ends: int | None = None

    def make(self, record: Record, layout: LayoutName = "aspd") -> Sample:
        """The sample of a record. layout "serial": the answer as ordinary text. Raises: as the vocabulary."""
        prompt = self._vocabulary.prompt(record.messages)
        if self._ends is None:
            self._ends = self._vocabulary.end_of_turn(record.messages)
        plain = [*self._vocabulary.tokenize(record.answer), self._ends]
        end = Kind.SEED if record.cut else Kind.MARKER  # nobody chose to end a cut answer there
        if layout == "serial" or not record.blocks:
            kinds = [Kind.PROMPT] * len(prompt) + [Kind.TRUNK] * (len(plain) - 1) + [end]
            return self._sample([Trunk([*prompt, *plain])], kinds, len(plain), parallel=False)
        segments, kinds = self._parallel(prompt, record.structure)
        kinds.append(end)
        parallel = any(isinstance(segment, Block) for segment in segments)
        return self._sample(segments, kinds, len(plain), parallel=parallel)

    def _sample(self, segments: Sequence[Ids], kinds: list[Kind], n_plain: int, *, parallel: bool) -> Sample:
        layout = lay_out(segments, self._rule)
        return Sample(
            layout=layout,
            kinds=tuple(kinds),
            predecessors=predecessors(layout, self._rule),
            n_plain=n_plain,
            parallel=parallel,
        )

    def _parallel(self, prompt: list[int], structure: Sequence[Segment]) -> tuple[list[Ids], list[Kind]]:
        trunk: list[int] = list(prompt)
        kinds: list[Kind] = [Kind.PROMPT] * len(prompt)
        segments: list[Ids] = []
        kind = Kind.TRUNK  # of trunk text
        for segment in merged(structure):
            if isinstance(segment, TrunkText):
                ids = self._vocabulary.tokenize(segment.text)
                trunk += ids
                kinds += [kind] * len(ids)
                continue
            titles = planned(segment)
            plan, plan_kinds = self._plan(titles)
            segments.append(Trunk([*trunk, *plan]))
            kinds += plan_kinds
            branches = []
            for number, (title, branch) in enumerate(zip(titles, segment.branches, strict=True), 1):
                seed = self.seed(self._file.branch_seed, title, number)
                body = self._vocabulary.tokenize(branch.text[len(title) :])
                branches.append([*seed, *body, self._id(self._file.branch_close)])
                kinds += [Kind.SEED] * len(seed) + [Kind.BODY] * len(body) + [Kind.MARKER]
            segments.append(Block(branches))
            trunk = self.seed(self._file.join_seed, "", 0)
            kinds += [Kind.SEED] * len(trunk)
            kind = Kind.TAIL
        assert self._ends is not None
        segments.append(Trunk([*trunk, self._ends]))
        return segments, kinds

    def _plan(self, titles: Sequence[str]) -> tuple[list[int], list[Kind]]:
        plan = self._file.plan
        ids: list[int] = []
        kinds: list[Kind] = []
        for title in titles:
            title_ids = self._vocabulary.tokenize(title)
            ids += [self._id(plan["item_open"]), *title_ids, self._id(plan["item_close"])]
            kinds += [Kind.MARKER, *[Kind.TITLE] * len(title_ids), Kind.MARKER]
        return [*ids, self._id(plan["close"])], [*kinds, Kind.MARKER]

    def _id(self, marker: str) -> int:
        return self._markers.ids[marker.removeprefix("@")]

    def seed(self, parts: Sequence[str], title: str, number: int) -> list[int]:
        """Token ids of a seed: neighbouring texts are tokenised together, markers stand alone.

        Source: Engine::Impl::seed_ids in cpp/src/engine/lanes.cpp.
        """
        fills: Mapping[str, str] = {"{title}": title, "{n}": str(number)}
        ids: list[int] = []
        text = ""
        for part in parts:
            if not part.startswith("@"):
                text += fills.get(part, part)
                continue
            ids += self._vocabulary.tokenize(text)
            text = ""
            ids.append(self._id(part))
        return ids + self._vocabulary.tokenize(text)


def planned(block: BlockText) -> tuple[str, ...]:
    """What the plan of a block says, [n_branches]: the words that its branches begin with, as they stand.

    So a title is written once: in the plan, from where it opens its branch's text. Empty where a part begins
    with a blank line.
    """
    return openings([branch.text for branch in block.branches]) or ()


def merged(structure: Sequence[Segment]) -> list[Segment]:
    """The structure with a block that follows another at once as trunk: the engine bans a plan right behind a
    join.
    """
    found: list[Segment] = []
    for each in structure:
        segment = each
        if isinstance(segment, BlockText) and found and isinstance(found[-1], BlockText):
            segment = TrunkText(text="".join(branch.text for branch in segment.branches))
        if isinstance(segment, TrunkText):
            if not segment.text:
                continue
            if found and isinstance(before := found[-1], TrunkText):
                segment = TrunkText(text=before.text + segment.text)
                found.pop()
        found.append(segment)
    return found
