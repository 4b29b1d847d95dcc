"""The examples of a data set: read, split, laid out; what cannot be used is counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aspd_local import _core
from aspd_local.data.record import Record, from_line
from aspd_local.errors import DataError
from aspd_local.protocol import ProtocolFile, plan_rules
from aspd_local.train.config import TrainConfig
from aspd_local.train.samples import Sample, SampleMaker, planned

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Samples to learn from, and to look at. left_out: reason -> how many records."""

    train: list[Sample] = field(default_factory=list)
    valid: list[Sample] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_records(path: Path) -> list[Record]:
    """The records of a file of `aspd data build`.

    Raises:
        DataError: a line is none, with its number; or the file is empty.
    """
    records = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                records.append(from_line(line))
            except ValueError as error:
                raise DataError(f"{path}:{number}", str(error)) from None
    if not records:
        raise DataError(str(path), "no examples")
    return records


def is_unclear(record: Record) -> bool:
    """Whether it is serial for reasons that nobody sees before the answer is written: parts that were
    refused for their form (too short, too few, cut off) or by the likelihood test. It would teach that such
    a question is no list.
    """
    stages = {decision.stage for decision in record.decisions if decision.outcome == "rejected"}
    return not record.blocks and bool(stages) and "lexical" not in stages


def choose(records: list[Record], config: TrainConfig) -> list[Record]:
    """The records of the training split, serial ones drawn until `parallel_share` have a block."""
    train = [record for record in records if record.split == "train" and not is_unclear(record)]
    parallel = [record for record in train if record.blocks]
    serial = [record for record in train if not record.blocks]
    if config.parallel_share > 0 and parallel:
        most = round(len(parallel) * (1 - config.parallel_share) / config.parallel_share)
        order = np.random.default_rng(config.seed).permutation(len(serial))[:most]
        serial = [serial[i] for i in sorted(order)]
    return parallel + serial


def valid_plan(record: Record, file: ProtocolFile) -> bool:
    """Whether the engine would fork every block of it."""
    rules = plan_rules(file)
    return not any(_core.plan_fault(list(planned(block)), rules, rules.max_items) for block in record.blocks)


def load_examples(
    path: Path, maker: SampleMaker, file: ProtocolFile, config: TrainConfig, progress: Progress
) -> Examples:
    """The samples of a file, in the configuration's layout.

    Raises:
        DataError: the file is not the pipeline's, or nothing in it can be used for training.
    """
    records = read_records(path)
    valid = [record for record in records if record.split == "valid"]
    order = np.random.default_rng(config.seed).permutation(len(valid))[: config.eval_examples]
    chosen = [(record, True) for record in choose(records, config)]
    chosen += [(valid[i], False) for i in sorted(order)]
    found = Examples()
    if unclear := sum(record.split == "train" and is_unclear(record) for record in records):
        found.left_out["serial only for the form of its parts"] = unclear
    for done, (record, is_train) in enumerate(chosen, 1):
        if not record.answer.strip():
            found.left_out["an empty answer"] += 1
        elif not valid_plan(record, file):
            found.left_out["a plan that breaks the protocol's rules"] += 1
        else:
            sample = maker.make(record, config.layout)
            if len(sample) > config.length:
                found.left_out[f"longer than {config.length} tokens"] += 1
            else:
                (found.train if is_train else found.valid).append(sample)
        progress("reading the examples", done, len(chosen))
    if not found.train:
        raise DataError(str(path), "no example of the training split can be used")
    return found
