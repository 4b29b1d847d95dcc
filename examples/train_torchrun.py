"""ASPD's layout with a distributed trainer: PyTorch's DistributedDataParallel, started by torchrun.

    torchrun --nproc-per-node 2 examples/train_torchrun.py SET.jsonl --base MODEL -o DIR

Each process takes its share of the rows of a step, and the result is what one process would have learnt.
`aspd train export DIR` makes a GGUF of it. The package gives the rows (token ids, positions, mask, targets)
and the network; all else is ordinary PyTorch, so accelerate, DeepSpeed or FSDP take the place of DDP as they
do elsewhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from aspd_local.sources import DEFAULT_BASE, resolve
from aspd_local.train import TrainConfig
from aspd_local.train.checkpoint import Folder
from aspd_local.train.network import choose_device, log_likelihoods, trained
from aspd_local.train.packing import pack, row_of
from aspd_local.train.verb import open_network, prepare


def main() -> None:
    """Trains; the first process writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--base", default=DEFAULT_BASE)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows-per-step", type=int, default=8, help="of all processes together")
    parser.add_argument("--row-tokens", type=int, default=512)
    parser.add_argument("--rank", type=int, default=16, help="of LoRA")
    parser.add_argument("--precision", choices=("auto", "bf16", "f32"), default="auto")
    args = parser.parse_args()

    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    process, n_processes = distributed.get_rank(), distributed.get_world_size()
    config = TrainConfig(rank=args.rank, row_tokens=args.row_tokens, precision=args.precision)
    device = choose_device(config)
    base = resolve(args.base)
    prepared = prepare(args.data, base, config)
    network = open_network(base, prepared.markers, config, device).to(device.name)
    network.train()
    parallel = DistributedDataParallel(network)
    optimiser = torch.optim.AdamW(trained(network).values(), lr=args.learning_rate)

    for epoch in range(args.epochs):
        rows = pack(prepared.examples.train, config.row_tokens, epoch)
        for begin in range(0, len(rows), args.rows_per_step):
            step = [row_of(row, rule=config.rule) for row in rows[begin : begin + args.rows_per_step]]
            n_learnt = sum(len(row.targets) for row in step)
            own = step[process::n_processes]
            # Gradients meet in the last backward pass of a step; a process without a row has one of no
            # weight.
            with parallel.no_sync():
                for row in own[:-1]:
                    loss = -log_likelihoods(parallel, row, device).sum() * n_processes / n_learnt
                    torch.autograd.backward(loss)
            weight = n_processes / n_learnt if own else 0.0
            last = own[-1] if own else step[0]
            loss = -log_likelihoods(parallel, last, device).sum() * weight
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(trained(network).values(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if process == 0:
            print(f"pass {epoch + 1} of {args.epochs}", flush=True)
    if process == 0:
        folder = Folder(args.out)
        folder.begin(prepared.said, resume=False, force=False)
        folder.save_weights(trained(network))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
