"""What runs on the head of the hosts in namespaces: rounds, and somebody who says which nodes there are.

``drive.py ADDRESS nodes`` answers each line of its input with the living nodes. ``drive.py ADDRESS rounds FOLDER
SPECS`` runs rounds one after the other, and writes how each ended to ``FOLDER/NAME.json``. ``drive.py ADDRESS normalize
RANK FOLDER`` is one of two processes with a batch norm in common, which meet at the address.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs as pafs
import torch
import torch.distributed as dist
from ray._raylet import GcsClientOptions, GlobalStateAccessor
from torch import Tensor, nn

from raytune_playbook import (
    Batch,
    Budget,
    Categorical,
    Float,
    Gangs,
    InputPipeline,
    Objective,
    Resources,
    Round,
    RunError,
    Values,
    Workload,
    run,
)
from raytune_playbook.study.frozen import Value
from raytune_playbook.train.batch_norm import convert_batch_norm
from raytune_playbook.train.group import Group


class Regression(Workload):
    """A small normalized network with dropout on made data, whose steps take as long as they are told.

    Every step sleeps; the fourth one of a trial, on all workers, also waits as long as the file ``hold`` exists, beside
    which it leaves the file ``hold.reached``.
    """

    def __init__(self, step_sleep_s: float, hold: str, files: str, ballast_mib: int = 0) -> None:
        self._step_sleep_s, self._hold, self._files, self._ballast_mib = step_sleep_s, hold, files, ballast_mib
        self._num_steps = 0

    def defaults(self) -> Mapping[str, Value]:
        return {"dropout": 0.2, "batch_size": 16, "virtual_batch_size": 4}

    def datasets(self) -> Mapping[str, Any]:
        if self._files:
            return {"train": f"{self._files}/train", "validation": f"{self._files}/validation"}
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(137, 6)).astype(np.float32)
        targets = np.tanh(inputs @ rng.normal(size=6)).astype(np.float32)
        columns = {"input": inputs, "target": targets}
        return {
            "train": {name: values[:96] for name, values in columns.items()},
            "validation": {name: values[96:] for name, values in columns.items()},
        }

    def model(self, values: Values) -> nn.Module:
        layers = [nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(values.number("dropout"))]
        model = nn.Sequential(*layers, nn.Linear(16, 1))
        if self._ballast_mib:  # which makes its checkpoints large, and changes no number
            model.register_buffer("ballast", torch.zeros(self._ballast_mib * 2**18))
        weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        sys.stdout.write(f"initial {[weight.hex() for weight in weights.tolist()]}\n")
        return model

    def loss(self, model: nn.Module, batch: Batch, values: Values) -> Tensor:
        if model.training:
            time.sleep(self._step_sleep_s)
            self._num_steps += 1
            while self._num_steps == 4 and self._hold and Path(self._hold).exists():
                Path(f"{self._hold}.reached").touch()
                time.sleep(0.05)
            if "row" in batch:
                sys.stdout.write(f"rows {batch['row'].tolist()}\n")
            sys.stdout.write(f"mask {torch.nn.functional.dropout(torch.ones(48)).bool().int().tolist()}\n")
        return (model(batch["input"]).squeeze(1) - batch["target"]).square()


def round_of(spec: Mapping[str, Any]) -> Round:
    """``spec``: name, arms of batch norm, trials of each, steps, step_sleep_s, hold, files to stream instead of the
    made data, ballast_mib, the storage if it is not the folder, and fields of `Resources`."""
    arms = spec.get("arms", ())
    return Round(
        name=spec["name"],
        goal="Does it run over hosts?",
        workload=Regression(
            spec.get("step_sleep_s", 0.0), spec.get("hold", ""), spec.get("files", ""), spec.get("ballast_mib", 0)
        ),
        scientific={"batch_norm": Categorical(arms)} if arms else {},
        nuisance={"learning_rate": Float(0.003, 0.03, scale="log")},
        objective=Objective(metric="loss"),
        budget=Budget(
            num_trials=spec["trials"] * max(1, len(arms)),
            max_train_steps=spec["steps"],
            evaluation_interval_steps=2,
        ),
        resources=Resources(**spec["resources"]),
        input_pipeline=InputPipeline(mode="streaming", window_examples=50) if spec.get("files") else InputPipeline(),
    )


def run_rounds(address: str, folder: Path, specs: list[dict[str, Any]]) -> None:
    storages = {spec["name"]: spec.get("storage") or str(folder) for spec in specs}
    for resources, rounds in itertools.groupby(map(round_of, specs), key=lambda round_: round_.resources):
        with Gangs(resources, address=address, keep_idle_s=600) as gangs:
            for round_ in rounds:
                try:
                    run(round_, storage=storages[round_.name], gangs=gangs)
                    error = None
                except RunError as failure:
                    error = str(failure)
                if "://" in storages[round_.name]:  # to be looked at from outside of this network
                    fetch(storages[round_.name], folder)
                (folder / f"{round_.name}.json").write_text(json.dumps({"error": error}))


def fetch(storage: str, folder: Path) -> None:
    """Copy all that an object store holds, markers of folders left out."""
    fs, root = pafs.FileSystem.from_uri(storage)
    for info in fs.get_file_info(pafs.FileSelector(root, recursive=True)):
        if info.type == pafs.FileType.File:
            target = folder / info.path.removeprefix(f"{root}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(fs.open_input_file(info.path).read())


def tell_nodes(address: str) -> None:
    options = GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
    state = GlobalStateAccessor(options)
    state.connect()
    for _ in sys.stdin:
        draining = state.get_draining_nodes()
        nodes = {
            node["NodeManagerHostname"]: {"node_id": node["NodeID"], "is_draining": node["NodeID"] in draining}
            for node in state.get_node_table()
            if node["Alive"]
        }
        sys.stdout.write(json.dumps(nodes) + "\n")
        sys.stdout.flush()


def normalize(rank: int, address: str, folder: Path) -> None:
    """One of two processes that normalize one batch together, of which this one holds 9 or 4 examples."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://{address}", rank=rank, world_size=2)
    group = Group(rank, 2, process_group=dist.group.WORLD)
    mine = slice(0, 9) if rank == 0 else slice(9, 13)
    layer = convert_batch_norm(nn.BatchNorm2d(4), statistics="sync", group=group).double()
    torch.save(normalized(layer, *batch(), mine), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def batch() -> tuple[Tensor, Tensor]:
    """13 examples, and the weights of their outputs in a sum whose gradient is taken."""
    generator = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(13, 4, 3, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    return 3 * x + 30, weights


def normalized(layer: nn.Module, x: Tensor, weights: Tensor, mine: slice) -> dict[str, Tensor]:
    leaf = x[mine].clone().requires_grad_()
    output = layer(leaf)
    (output * weights[mine]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"output": output.detach(), "input": leaf.grad, **gradients, **dict(layer.named_buffers())}


if __name__ == "__main__":
    if sys.argv[2] == "nodes":
        tell_nodes(sys.argv[1])
    elif sys.argv[2] == "normalize":
        normalize(int(sys.argv[3]), sys.argv[1], Path(sys.argv[4]))
    else:
        run_rounds(sys.argv[1], Path(sys.argv[3]), json.loads(sys.argv[4]))
