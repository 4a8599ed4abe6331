"""Where the time of training steps goes, and whether training waits for its input (rules PI1, PI2 and PI4).

See the playbook's "Optimizing the input pipeline". A run is input-bound where its steps could not go on for want of a
batch: they waited for the pipeline to make it, for its copy to the device, or for its random augmentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raytune_playbook.analysis.trials import Trial
from raytune_playbook.records.types import PIPELINE_STAGES, ExamplesRecord, Outcome, TimeByPart, Training

INPUT_BOUND_SHARE = 0.1
"""From this share of the steps' time on, training is called input-bound. Without any waiting it would be at most 1.11
times as fast below it, which seldom pays for a better pipeline."""

MIN_INPUT_S = 1.0
"""Less waiting than this in a whole study is no finding: the first batch of short trials is always waited for."""

AUGMENTATION = "augmentation"
"""What is to blame where it is no stage of the pipeline, but the training thread itself."""

MIN_STEP_MS = 1.0
"""Steps that take less are waited for by nobody: what they wait is the price of handing over a batch at all."""

SMALL_BATCH_BYTES = 2**20
"""A batch of less is copied in a fraction of a millisecond: its columns and types are not what takes the time."""

_CPUS = "give the pipeline more CPUs (Resources.pipeline_cpus)"
_COLUMNS = "drop unused columns at the read (Files(columns=...))"
_OFFLINE = "preprocess once offline (raytune-playbook preprocess JOB)"

_NO_FILES = "drop columns that the model does not use (Workload.datasets)"
_TYPES = "keep columns in smaller types, such as uint8, and convert them in the model"
_LARGER_BATCHES = (
    "the batches are small, so that making one costs more than copying what it holds; larger batches come less often "
    "(batch_size, with the optimizer's hyperparameters tuned anew)"
)


IN_MEMORY_SOURCES = frozenset({"arrays", "an Arrow table", "a Ray Dataset"})
"""How records call sources that are no files."""


def _remedy(blame: str | None, examples: ExamplesRecord | None, batch_bytes: float | None) -> str:
    """What helps, by cause.

    Args:
        blame: as `StepTime.blame`.
        examples: what was trained on; None where that is not known, as in rounds of older versions.
        batch_bytes: of one batch; None where that is not known.
    """
    is_streamed = examples is None or examples.mode == "streaming"
    offline = [_OFFLINE] if is_streamed and not (examples and examples.preprocessed) else []
    columns = _COLUMNS if examples is None or not IN_MEMORY_SOURCES & set(examples.sources.values()) else _NO_FILES
    if blame == AUGMENTATION:
        return "make Workload.augment cheaper; what of it need not be random belongs into Workload.preprocess"
    if not is_streamed or blame in ("collate", "transfer"):  # what training does itself, out of memory
        is_small = batch_bytes is not None and batch_bytes < SMALL_BATCH_BYTES
        return _LARGER_BATCHES if is_small else f"{columns}, or {_TYPES}"
    ways = {
        "read": [columns, _CPUS],
        "shuffle": [columns, _CPUS],
        "remote read": ["keep a local copy of the files beside the workers", columns],
        "decode": [*offline, _CPUS],
    }
    return ", or ".join(ways.get(blame or "", [_CPUS]))


@dataclass(frozen=True)
class StepTime:
    """Where the time of the training steps of some trials went.

    Fields:
        num_steps: how many there were.
        time_by_part: of all of them together.
        stages: seconds in which the input pipeline was busy, by one of `PIPELINE_STAGES`.
    """

    num_steps: int
    time_by_part: TimeByPart
    stages: Mapping[str, float]

    @property
    def input_share(self) -> float:
        """Of all the steps' time."""
        return self.time_by_part.input_s / self.time_by_part.total_s

    @property
    def is_input_bound(self) -> bool:
        is_worth_it = self.time_by_part.input_s >= MIN_INPUT_S and self.mean_ms() >= MIN_STEP_MS
        return self.input_share >= INPUT_BOUND_SHARE and is_worth_it

    def share(self, column: str) -> float:
        """One part's share of all the steps' time."""
        return self._seconds(column) / self.time_by_part.total_s

    def mean_ms(self, column: str | None = None) -> float:
        """Of a part of a step; of a whole step without one."""
        return 1000 * (self.time_by_part.total_s if column is None else self._seconds(column)) / self.num_steps

    def _seconds(self, column: str) -> float:
        seconds: float = getattr(self.time_by_part, column)
        return seconds

    @property
    def blame(self) -> str | None:
        """What to mend first: `AUGMENTATION`, or the stage that was waited for; None where no stage has told."""
        time = self.time_by_part
        if time.augment_s > time.wait_s + time.transfer_s:
            return AUGMENTATION
        if time.transfer_s > time.wait_s:
            return "transfer"
        busy = max(PIPELINE_STAGES, key=lambda stage: self.stages.get(stage, 0.0))
        return busy if self.stages.get(busy, 0.0) > 0 else None


def step_time(trials: Iterable[Trial]) -> StepTime | None:
    """Of some trials together; None where their records do not tell, as those of older versions."""
    known = [trial.training for trial in trials if trial.training is not None and _is_known(trial.training)]
    if not known:
        return None
    stages: Counter[str] = Counter()
    for training in known:
        stages.update(training.stages)
    return StepTime(
        num_steps=sum(training.num_steps for training in known),
        time_by_part=sum((training.time_by_part or TimeByPart() for training in known), TimeByPart()),
        stages=dict(stages),
    )


def _is_known(training: Training) -> bool:
    time = training.time_by_part
    return training.num_steps > 0 and time is not None and time.total_s > 0


def of_round(trials: Iterable[Trial]) -> StepTime | None:
    """Of all completed trials; retraining one later does not change what a round has shown."""
    return step_time(_completed(trials))


def of_each_study(trials: Iterable[Trial]) -> dict[str, StepTime]:
    """Of the completed trials of every study that has any."""
    by_study: dict[str, list[Trial]] = {}
    for trial in _completed(trials):
        by_study.setdefault(trial.study, []).append(trial)
    times = {study: step_time(of_study) for study, of_study in by_study.items()}
    return {study: time for study, time in times.items() if time is not None}


def _completed(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.outcome == Outcome.COMPLETED and trial.repeat == 0]


@dataclass(frozen=True)
class InputBound:
    """Training that waits for its input.

    Fields:
        study: whose trials do; None where all of them together do.
        time: where it goes.
        sentence: with the numbers, the cause and what helps.
    """

    study: str | None
    time: StepTime
    sentence: str


def input_bound(trials: Sequence[Trial], examples: ExamplesRecord | None = None) -> InputBound | None:
    """Whether a round's trials are input-bound, or else those of a study; None where neither are.

    Args:
        examples: what they were trained on; None where that is not known, as in rounds of older versions.
    """
    whole = of_round(trials)
    if whole is not None and whole.is_input_bound:
        return InputBound(None, whole, _sentence("", whole, trials, examples))
    bound = {study: time for study, time in of_each_study(trials).items() if time.is_input_bound}
    if not bound:
        return None
    worst = max(bound, key=lambda study: bound[study].input_share)
    of_worst = [trial for trial in trials if trial.study == worst]
    return InputBound(worst, bound[worst], _sentence(f" of {worst}", bound[worst], of_worst, examples))


def finding(trials: Sequence[Trial], examples: ExamplesRecord | None = None) -> str | None:
    """The sentence where training is input-bound, with the rule's ID before it; None where it is not."""
    bound = input_bound(trials, examples)
    return None if bound is None else f"PI1: {bound.sentence}"


def _sentence(of: str, time: StepTime, trials: Sequence[Trial], examples: ExamplesRecord | None) -> str:
    cores = _no_free_core(trials)
    names = {"wait_s": "data", "transfer_s": "the copy to the device", "augment_s": "augmentation"}
    parts = [f"{_ms(time.mean_ms(column))} for {name}" for column, name in names.items() if time.share(column) >= 0.01]
    blame, busy_s = time.blame, sum(time.stages.values())
    share = time.stages.get(blame or "", 0.0) / busy_s if busy_s else 0.0
    busiest = f"; {share:.0%} of the pipeline's work is {blame}" if share else ""
    remedies = [cores] if cores and blame not in ("transfer", AUGMENTATION) else []
    remedies.append(_remedy(blame, examples, _batch_bytes(trials, examples)))
    return (
        f"Training{of} is input-bound: {time.input_share:.0%} of the steps' time is spent waiting for batches "
        f"({', '.join(parts)}, in steps of {_ms(time.mean_ms())}{busiest}); {'; '.join(remedies)}."
    )


def _batch_bytes(trials: Iterable[Trial], examples: ExamplesRecord | None) -> float | None:
    """Of the largest training batch of all workers together."""
    sizes = [size for trial in trials if isinstance(size := trial.values.get("batch_size"), int | float)]
    if examples is None or not sizes:
        return None
    return max(sizes) * sum(examples.num_bytes.values()) / max(1, sum(examples.num_examples.values()))


def _no_free_core(trials: Iterable[Trial]) -> str | None:
    """What to do where the workers leave no core to the pipeline on the host that has the most of them."""
    for machine in (trial.machine for trial in _completed(trials) if trial.machine.cores):
        host, num_workers = Counter(machine.hosts).most_common(1)[0]
        num_threads, num_cores = num_workers * machine.threads_per_worker, machine.cores[machine.hosts.index(host)]
        if num_threads >= num_cores:
            return (
                f"no core is free beside the workers ({num_threads} threads of theirs on {num_cores} cores): leave one "
                "to the pipeline, by fewer workers on a host or fewer Resources.cpus_per_worker"
            )
    return None


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms"
