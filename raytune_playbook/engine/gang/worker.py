"""The function that a gang's Ray Train workers run: fetch an assignment, train it, say how it ended, fetch the next.

Between trials no worker waits in a collective: each asks its host over and over (a long poll), so that an idle gang can
stay idle for ever.
"""

from __future__ import annotations

import functools
import os
import socket
import traceback
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import ray
import ray.exceptions
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from raytune_playbook.data.batches import SharedBatches, TrialExamples
from raytune_playbook.data.columns import Columns
from raytune_playbook.data.decode import HASH
from raytune_playbook.data.order import BatchShare
from raytune_playbook.data.streaming.worker_stream import StreamedBatches, StreamerDoor
from raytune_playbook.engine.cluster.calls import answer_of
from raytune_playbook.engine.gang.handles import HostHandle, PoolOfGang
from raytune_playbook.engine.gang.messages import Assignment, Hello, NoMoreTrials, NothingYet, WorkerEnd
from raytune_playbook.engine.gang.reach import require_reached
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.gang.train_run import CONFIG, WorkerConfig
from raytune_playbook.engine.gang.trial_log import captured_output, storage_failure
from raytune_playbook.engine.gang.watcher import HOST_TIMEOUT_S, HostWatcher
from raytune_playbook.errors import InputError
from raytune_playbook.records.predictions import predictions_folder, write_predictions
from raytune_playbook.records.storage import Storage
from raytune_playbook.records.store import profile_path
from raytune_playbook.study.data_split import data_split
from raytune_playbook.study.settings import Resources
from raytune_playbook.train.checks.given_examples import require_finite_losses
from raytune_playbook.train.end import End
from raytune_playbook.train.evaluation import SavePredictions
from raytune_playbook.train.group import Group
from raytune_playbook.train.loop import train
from raytune_playbook.train.prediction import examples_table
from raytune_playbook.train.process.reset import LeakCheck, reset
from raytune_playbook.train.profiler import Profile
from raytune_playbook.train.saved.checkpoints import Checkpoints, checkpoints_folder
from raytune_playbook.train.trial_run import TrialRun
from raytune_playbook.train.workload import Values

MAX_CACHED_ROUNDS = 4


def run_worker(config: dict[str, WorkerConfig]) -> None:
    """One worker's life: trial after trial, until its host says that there are no more.

    Args:
        config: what Train hands on, with the one entry `CONFIG`.
    """
    worker = config[CONFIG]
    host, generation, resources = worker.host, worker.generation, worker.resources
    group = _group(resources)
    reset(resources.threads_per_worker)
    leaks = LeakCheck()
    answer_of(host.hello.remote(generation, _hello(group)), timeout_s=HOST_TIMEOUT_S)
    contexts: dict[str, RoundContext] = {}
    streamer = StreamerDoor()
    number = 0
    while not isinstance(assignment := _next_assignment(host, generation, group.rank, number), NoMoreTrials):
        number = assignment.number
        _check_group(group, number, resources)
        context = _context(contexts, worker.pool, assignment.round_id)
        ended = _run(assignment, context, worker, group, streamer)
        reset(resources.threads_per_worker)
        leak = leaks.leak()
        answer_of(host.ended.remote(generation, number, replace(ended, leak=leak)), timeout_s=HOST_TIMEOUT_S)


def _group(resources: Resources) -> Group:
    context = ray.train.get_context()
    size = context.get_world_size()
    return Group(
        rank=context.get_world_rank(),
        size=size,
        device=ray.train.torch.get_device(),
        process_group=dist.group.WORLD if size > 1 else None,
        timeout_s=resources.first_step_timeout_s,
    )


def _hello(group: Group) -> Hello:
    device = torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else group.device.type
    return Hello(
        rank=group.rank,
        node_id=ray.get_runtime_context().get_node_id(),
        host_name=socket.gethostname(),
        process_id=os.getpid(),
        torch=str(torch.__version__),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        device=device,
        cores=len(os.sched_getaffinity(0)),
    )


def _next_assignment(host: HostHandle, generation: int, rank: int, after: int) -> Assignment | NoMoreTrials:
    while True:  # the host answers within its own poll time
        answer = answer_of(host.next_assignment.remote(generation, rank, after), timeout_s=HOST_TIMEOUT_S)
        if not isinstance(answer, NothingYet):
            return answer


def _check_group(group: Group, number: int, resources: Resources) -> None:
    """All workers are at the same trial and can talk; else this worker ends, which restarts the gang."""
    if group.process_group is None:
        return
    group.set_timeout(resources.collective_timeout_s)
    numbers = group.gather(torch.tensor([number], device=group.device))
    if any(int(other) != number for other in numbers):
        raise RuntimeError(f"workers are at different trials: {[int(other) for other in numbers]}")
    group.set_timeout(resources.first_step_timeout_s)


def _context(contexts: dict[str, RoundContext], pool: PoolOfGang, round_id: str) -> RoundContext:
    if round_id not in contexts:
        while len(contexts) >= MAX_CACHED_ROUNDS:
            del contexts[next(iter(contexts))]
        context = answer_of(pool.round_context.remote(round_id), timeout_s=HOST_TIMEOUT_S)
        if context is None:
            raise RuntimeError(f"round {round_id} was closed before its trial began")
        contexts[round_id] = context
    return contexts[round_id]


def _run(
    assignment: Assignment, context: RoundContext, config: WorkerConfig, group: Group, streamer: StreamerDoor
) -> WorkerEnd:
    watcher = HostWatcher(assignment, config, group)
    failure: Exception | None = None
    end = None
    try:
        require_reached(context.uri, context.claim, context.round_id)
        with captured_output(assignment, group.rank), watcher.heartbeat():
            try:
                end = _train(assignment, context, config, watcher, streamer)
            except Exception as error:  # noqa: BLE001 - whatever a workload raises is the trial's outcome, not the gang's
                failure = error
                traceback.print_exc()
    except OSError as error:  # of the storage: it is out of reach, or takes no log
        failure = failure or error
    no_room = storage_failure(failure, assignment)
    return WorkerEnd(
        rank=group.rank,
        end=None if failure else end,
        num_reports=watcher.num_reports,
        traceback="".join(traceback.format_exception(failure)) if failure else None,
        error=no_room or (_last_line(failure) if failure else None),
        is_input_error=isinstance(failure, InputError),
        is_storage_failure=no_room is not None,
        lacks_examples=has_lost_objects(failure),
    )


def _train(
    assignment: Assignment, context: RoundContext, config: WorkerConfig, watcher: HostWatcher, streamer: StreamerDoor
) -> End:
    workload, group = context.load_workload(), watcher.group
    trial = assignment.trial
    values = Values(trial.values)
    share = BatchShare(values.integer("batch_size"), group.rank, group.size)
    rows = context.examples.rows(data_split(values))
    data = SharedBatches(
        TrialExamples(context.examples.arrays(), rows, workload.chosen_examples()),
        trial,
        share,
        group.device,
        _stream(assignment, context, streamer, group, share),
    )
    run = TrialRun(workload, trial, data, group, watcher)
    if not assignment.keeps_checkpoints and not workload.infeasible(run.values):
        require_finite_losses(run, _suspects(context))
    end = train(
        run,
        _checkpoints(assignment, context, group),
        _save_predictions(assignment, context, group),
        memory_limit_gib=config.resources.memory_per_worker_gib if group.device.type == "cpu" else None,
        profile=_profile(assignment, context, group),
    )
    return replace(end, read=end.read | values.read)


def _suspects(context: RoundContext) -> list[tuple[str, Columns]]:
    """Examples on which the loss may be no number."""
    found = context.examples.not_finite()
    return [
        (each.sentence(split), {name: values for name, values in each.example.items() if name != HASH})
        for split, each in found
    ]


def _stream(
    assignment: Assignment, context: RoundContext, streamer: StreamerDoor, group: Group, share: BatchShare
) -> StreamedBatches | None:
    if (stream := context.examples.stream) is None:
        return None
    name = group.from_first(streamer.open().encode() if group.rank == 0 else None) or b""
    attempt = f"{assignment.round_id} {assignment.number}"
    return StreamedBatches(stream, streamer.find(name.decode()), attempt, assignment.trial, share)


def _checkpoints(assignment: Assignment, context: RoundContext, group: Group) -> Checkpoints | None:
    trial = assignment.trial
    if not assignment.keeps_checkpoints:
        return None
    return Checkpoints(
        Storage(context.uri),
        checkpoints_folder(trial.study, trial.key),
        trial,
        # As the driver knows it: a worker need not have the file.
        code=context.studies[trial.study].workload.source_hash,
        num_best=context.num_best_checkpoints,
        interval_steps=context.checkpoint_interval_steps,
        whole_steps=frozenset(context.whole_checkpoints),
        group=group,
    )


def _save_predictions(assignment: Assignment, context: RoundContext, group: Group) -> SavePredictions:
    trial = assignment.trial

    def save(step: int, examples: Mapping[str, npt.NDArray[np.generic]]) -> None:
        if group.rank == 0 and assignment.keeps_checkpoints:  # rule MH1; the check before trial 0 records nothing
            folder = predictions_folder(trial.study, trial.key)
            write_predictions(Storage(context.uri), folder, step, examples_table(examples))

    return save


def _profile(assignment: Assignment, context: RoundContext, group: Group) -> Profile | None:
    """Of trial 0 of each study on rank 0 alone; the check before it leaves nothing (rule PI4)."""
    trial, steps = assignment.trial, context.profile
    is_first = trial.index == 0 and trial.repeat == 0 and group.rank == 0
    if steps is None or not is_first or not assignment.keeps_checkpoints:
        return None
    path = profile_path(trial.study, trial.key, steps.first, steps.last)
    return Profile(steps, functools.partial(Storage(context.uri).write, path))


def has_lost_objects(error: BaseException | None) -> bool:
    """Whether what was raised is that an object is in no node's memory any more, as when its owner has died.

    What was raised in its place, and hides it (`from None`), is something else, such as a stream of examples that was
    cut off: the next attempt begins another.
    """
    while error is not None and not isinstance(error, ray.exceptions.ObjectLostError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error is not None


def _last_line(error: BaseException) -> str:
    return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
