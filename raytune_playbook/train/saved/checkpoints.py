"""One trial's checkpoints: the N best and the latest (rules CK1 to CK3).

::

    <folder>/<step>/model.pt      the weights, with the running averages of all workers (rule BN3)
                    training.pt   all else that training goes on from; of the latest step, and of those that are
                                  kept whole

Rank 0 alone writes (rule MH1), after gathering what differs by rank. Each file appears whole or not at all,
``training.pt`` last, and what it replaces is deleted after that; so a folder with a ``training.pt`` is a whole
checkpoint whenever the writer is killed. Both files are read by ``torch.load(..., weights_only=True)``.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.fs as pafs
import torch
from torch import Tensor, nn

from raytune_playbook.analysis.judging.objective import best_of
from raytune_playbook.errors import StorageError, StorageFailure
from raytune_playbook.records.columns import STEP, MeasurementRow
from raytune_playbook.records.storage import Storage
from raytune_playbook.study.checks.disk_price import CheckpointSize
from raytune_playbook.study.fingerprints import trial_fingerprint
from raytune_playbook.study.settings import Objective
from raytune_playbook.study.trial import TrialSpec
from raytune_playbook.train.group import Group, synchronized_buffers
from raytune_playbook.train.measurements import number_of
from raytune_playbook.train.saved.buffers import buffers, gathered, shared, unpack

LOG = logging.getLogger("raytune_playbook")
MODEL, TRAINING = "model.pt", "training.pt"

FORMAT = 2
"""Of what training goes on from; a checkpoint of another format is discarded, and its trial starts anew."""


def checkpoints_folder(study: str, key: str) -> str:
    """Where a trial's checkpoints are in its round's folder."""
    return f"{study}/checkpoints/{key}"


def best_steps(evaluated: Mapping[int, float | None], objective: Objective, num_best: int) -> list[int]:
    """The steps of the best few evaluations, the best first, chosen as the objective itself is; ties to the earlier."""
    left, found = dict(evaluated), list[int]()
    while len(found) < num_best and (best := best_of(list(left), list(left.values()), objective)) is not None:
        found.append(best.step)
        del left[best.step]
    return found


@dataclass
class Checkpoints:
    """The checkpoints of one trial; every worker has one, and calls it when the others do.

    Args:
        storage, folder: where they are.
        trial: whose they are; those of another are never loaded.
        code: a hash of the workload's source. Checkpoints of other code, or another `FORMAT`, are discarded.
        num_best: how many evaluations keep their checkpoint beside the latest.
        interval_steps: a checkpoint every so many steps, at an evaluation; None for every evaluation.
        whole_steps: evaluations whose checkpoints are kept whole beside these, so that another training can go on from
            them (`raytune_playbook.train.saved.branching`).
        group: the trial's workers.

    Fields:
        best_step: of the best checkpoint that is kept.
        size: of the latest, on rank 0; None where there is none.
    """

    storage: Storage
    folder: str
    trial: TrialSpec
    code: str = ""
    num_best: int = 1
    interval_steps: int | None = None
    whole_steps: frozenset[int] = frozenset()
    group: Group = field(default_factory=Group)
    best_step: int | None = None
    size: CheckpointSize | None = None
    _kept: list[int] = field(default_factory=list)

    def is_due(self, step: int, *, is_last: bool) -> bool:
        """Whether the evaluation at ``step`` has a checkpoint: every one, unless a coarser interval is asked for."""
        is_regular = self.interval_steps is None or step % self.interval_steps == 0
        return is_last or is_regular or step in self.whole_steps

    # ------------------------------------------------------------------ writing

    def save(self, step: int, model: nn.Module, rest: Mapping[str, Any], evaluated: Mapping[int, float | None]) -> None:
        """Write the checkpoint of ``step``, then delete those that are neither the latest nor to be kept.

        Changes no later bit of training. When it returns on any worker, the checkpoint is whole.

        Args:
            rest: what training goes on from beside the model: plain numbers and tensors, the same on all workers.
            evaluated: the objective's metric at every evaluation so far, this one included.

        Raises:
            StorageFailure: on all workers, when it cannot be written.
        """
        group = self.group
        candidates = {kept: evaluated.get(kept) for kept in (*self._kept, step)}
        best = best_steps(candidates, self.trial.objective, self.num_best)
        self.best_step = best[0] if best else None
        self._kept = sorted({*best, step})
        own = gathered(buffers(model), group)
        failure = None
        with synchronized_buffers(model, group):
            if group.rank == 0:  # rule MH1
                fingerprint_ = trial_fingerprint(self.trial, group.size)
                header = {"step": step, "trial": fingerprint_, "code": self.code, "format": FORMAT}
                training = {"buffers": shared(own), "kept": self._kept, "best_step": self.best_step, **rest}
                try:
                    self.size = CheckpointSize(
                        self._write(step, MODEL, header | {"model": model.state_dict()}),
                        self._write(step, TRAINING, header | {"training": training}),
                    )
                    self._delete_all_but(self._kept, step)
                except OSError as error:
                    failure = error
        self._require_success("writable", failure)

    def _require_success(self, what: str, failure: OSError | None) -> None:
        """Wait for rank 0, and fail on all workers where it did: none is left waiting in a collective."""
        failed = self.group.sum_(torch.tensor([float(failure is not None)], device=self.group.device))
        if failed.item():
            why = "rank 0 says why" if failure is None else failure.__cause__ or failure  # what the storage was told
            raise StorageFailure(
                f"Checkpoints must be {what}, but {self.storage.uri_of(self.folder)} is not ({why}); "
                "make room there, or allow access."
            )

    def _write(self, step: int, name: str, content: Mapping[str, Any]) -> int:
        """Write one file; returns its number of bytes."""
        file = io.BytesIO()
        torch.save(dict(content), file)
        self.storage.write(f"{self.folder}/{step}/{name}", file.getvalue())
        return file.tell()

    def _delete_all_but(self, kept: Collection[int], latest: int) -> None:
        """Delete what earlier steps have left, half-written files included.

        Nothing of later steps: they are written by an attempt that was taken for dead, or will be written again.
        """
        for step, names in _files(self.storage, self.folder).items():
            if TRAINING in names and step in self.whole_steps:
                continue
            # A training.pt goes first, so that there is never one without its model.pt.
            if TRAINING in names and step < latest:
                self.storage.delete(f"{self.folder}/{step}/{TRAINING}")
            if step < latest and step not in kept:
                self.storage.delete_folder(f"{self.folder}/{step}")
            elif step <= latest:
                for name in set(names) - {MODEL, TRAINING}:
                    self.storage.delete(f"{self.folder}/{step}/{name}")

    # ------------------------------------------------------------------ reading

    def load(self, model: nn.Module) -> dict[str, Any] | None:
        """Put the latest checkpoint into the model, each worker's own buffers included; None where there is none.

        Returns:
            What `save` was given as ``rest``, on the group's device, and the ``step``.

        Raises:
            StorageError: it is that of another trial.
            StorageFailure: it cannot be read.
        """
        found = self._read(None, (TRAINING, MODEL))
        if found is None:
            return None
        training, weights = found
        if training["code"] != self.code:
            self._discard("the workload's source has changed")
            return None
        if training.get("format") != FORMAT:
            self._discard("another version of this package has written the checkpoint")
            return None
        if training["trial"] != trial_fingerprint(self.trial, self.group.size):
            there = self.storage.uri_of(f"{self.folder}/{training['step']}")
            raise StorageError(
                f"A checkpoint is that of one trial, but {there} was written with other values, steps, seed or workers "
                f"({training['trial']} instead of {trial_fingerprint(self.trial, self.group.size)}); delete it, or "
                "name another round."
            )
        model.load_state_dict(weights["model"])
        rest: dict[str, Any] = training["training"]
        unpack(rest.pop("buffers")[self.group.rank], buffers(model))
        self._kept, self.best_step = rest.pop("kept"), rest.pop("best_step")
        return rest | {"step": training["step"]}

    def restored(self, model: nn.Module) -> Iterator[int]:
        """Put each kept checkpoint into the model, one after another, as every worker evaluated it then (rule BN3).

        Training is over with the first of them: the model holds the weights of the last one in the end.

        Yields:
            The step of each.

        Raises:
            StorageError: one is gone.
            StorageFailure: one cannot be read.
        """
        for step in self._kept:
            found = self._read(step, (MODEL,))
            if found is None:
                raise StorageError(
                    f"The checkpoint of step {step} must stay until its trial has ended, but it is gone from "
                    f"{self.storage.uri_of(self.folder)}; leave the folder alone while the round runs, then resume."
                )
            model.load_state_dict(found[0]["model"])
            yield step

    def select(self, scored: Iterable[MeasurementRow]) -> None:
        """Choose the best checkpoint anew, by scores on all validation examples (rule EV8).

        An objective that is not about validation stays with its choice.
        """
        objective = self.trial.objective
        values = {int(row[STEP] or 0): number_of(row, objective.metric) for row in scored}
        if objective.split == "validation" and (best := best_steps(values, objective, 1)):
            (self.best_step,) = best

    def _read(self, step: int | None, names: Sequence[str]) -> list[dict[str, Any]] | None:
        """Files of one step, or of the latest; read by rank 0 for all, so that all go on from the same ones.

        None where one of them is not there.
        """
        group = self.group
        contents: list[bytes | None] = [None for _ in names]
        failure = None
        if group.rank == 0:
            try:
                if (folder := self._latest() if step is None else f"{self.folder}/{step}") is not None:
                    contents = [self.storage.read(f"{folder}/{name}") for name in names]
                if step is None and None not in contents:
                    num_bytes = {name: len(content or b"") for name, content in zip(names, contents, strict=True)}
                    self.size = CheckpointSize(num_bytes[MODEL], num_bytes[TRAINING])
            except OSError as error:
                failure = error
        self._require_success("readable", failure)
        parts = [content for content in map(group.from_first, contents) if content is not None]
        if len(parts) < len(names):
            return None
        return [torch.load(io.BytesIO(part), group.device, weights_only=True) for part in parts]

    def _latest(self) -> str | None:
        whole = [step for step, names in _files(self.storage, self.folder).items() if TRAINING in names]
        return f"{self.folder}/{max(whole)}" if whole else None

    def _discard(self, why: str) -> None:
        """A trial is what one code makes of its values: training by two codes would be neither's."""
        if self.group.rank == 0:
            LOG.warning("%s, so the trial starts at step 0 and not from its checkpoint", why)
            self.storage.delete_folder(self.folder)
        self.group.sum_(torch.zeros(1, device=self.group.device))  # nobody goes on before they are gone


def kept_steps(storage: Storage, folder: str) -> list[int]:
    """The steps of the checkpoints that are kept, in order."""
    return sorted(step for step, names in _files(storage, folder).items() if MODEL in names)


def read_weights(storage: Storage, folder: str, step: int) -> dict[str, Tensor]:
    """The weights of one checkpoint by name, on the CPU.

    Raises:
        StorageError: there is no such checkpoint.
    """
    content = storage.read(f"{folder}/{step}/{MODEL}")
    if content is None:
        there = ", ".join(map(str, kept_steps(storage, folder))) or "none"
        raise StorageError(
            f"A checkpoint of step {step} must be in {storage.uri_of(folder)}, but the steps there are: {there}; "
            "name one of them."
        )
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)["model"]
    return weights


def _files(storage: Storage, folder: str) -> dict[int, list[str]]:
    """Names of files by step, those included that a killed writer has left half-written."""
    found: dict[int, list[str]] = {}
    for info in storage.infos(folder, recursive=True):
        is_file = info.type == pafs.FileType.File
        step = info.path.rstrip("/").split("/")[-2 if is_file else -1]
        if step.isdigit():
            found.setdefault(int(step), []).extend([info.base_name] if is_file else [])
    return found
