"""One round's folder in a storage: any pyarrow filesystem, whole after any crash.

::

    <storage>/<round>/round.json  status.json  notes.md  uncommitted.diff  report/  logs/
                      <study>/study.json
                              trials/<trial>.parquet          one row, rewritten when the trial moves on
                              trials/<first>-<last>.part<n>-<random>.parquet  the rows of many that have ended
                              measurements/<trial>.parquet    sealed when the trial has ended
                              measurements/<first>-<last>.part<n>-<random>.parquet  those of many, by ``trial``
                              measurements/_<trial>.attempt<n>.arrows  the stream of a trial that runs or was cut off
                              checkpoints/<trial>/<step>/      written by the trial's first worker
                              predictions/<trial>/             likewise
                              logs/<trial>.<attempt>.<rank>.log
                              tensorboard/<trial>/

The driver alone writes records, and workers checkpoints, predictions and logs; each file appears by a rename (or an
object store's atomic put).
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from raytune_playbook.errors import InputError, StorageError
from raytune_playbook.records import DEFAULT_STORAGE
from raytune_playbook.records.columns import trials_table
from raytune_playbook.records.places import is_name
from raytune_playbook.records.storage import Storage, first_line
from raytune_playbook.records.tables.listing import BrokenFileError, is_part, single_file, trials_in_file
from raytune_playbook.records.tables.measurement_reading import all_measurements, trial_measurements
from raytune_playbook.records.tables.trial_rows import concatenated, newest, read_rows
from raytune_playbook.records.types import Part, RoundRecord, RoundStatus, TrialRecord
from raytune_playbook.study.closest import did_you_mean
from raytune_playbook.study.settings import Budget
from raytune_playbook.study.study import StudySpec
from raytune_playbook.study.trial import trial_key

_NUMBER = re.compile(r"[0-9]{1,18}")

_Spec = TypeVar("_Spec", RoundRecord, RoundStatus, StudySpec)

_Made = TypeVar("_Made")

_MISSING = {
    ("trials", False): "is missing here; restore that file, or delete it and resume the round to train the trial again",
    ("trials", True): "are missing here; restore that file, or delete it and resume the round to train them again",
    ("measurements", False): "has no curves here; restore that file",
    ("measurements", True): "have no curves here; restore that file",
}
"""By kind of file, and whether it holds many trials: what is to be said where it cannot be read."""


@dataclass(frozen=True)
class Readable(Generic[_Made]):
    """What could be read of some records, and a sentence for each file that could not."""

    found: _Made
    broken: tuple[str, ...] = ()


class RoundStore:
    """The records of one round; reading needs neither ray nor torch.

    Raises:
        StorageError: the name is no folder's.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        if not is_name(name):
            raise StorageError(f"A round's name is that of its folder in the storage, but got {name!r}; correct it.")
        self.storage = storage
        self.name = name

    @property
    def uri(self) -> str:
        """Where the round's folder is."""
        return self.storage.uri_of(self.name)

    def uri_of(self, path: str) -> str:
        """The URI of what has this path in the round's folder."""
        return self.storage.uri_of(f"{self.name}/{path}")

    def command(self, verb: str) -> str:
        """The shell command that does something with the round, such as ``resume``."""
        return shlex.join(["raytune-playbook", verb, self.name, "--storage", self.storage.uri])

    def create(self, record: RoundRecord, studies: Iterable[StudySpec], *, notes: str, diff: str) -> None:
        """Write all that is known before the first trial; ``round.json`` last, so that it vouches for the rest."""
        for study in studies:
            self.storage.write(f"{self.name}/{study.name}/study.json", _json(study))
        if diff:
            self.storage.write(f"{self.name}/uncommitted.diff", diff.encode())
        self.storage.write(f"{self.name}/notes.md", notes.encode())
        self.storage.write(f"{self.name}/round.json", _json(record))

    def extend(self, budget: Budget, studies: Iterable[StudySpec]) -> None:
        """Write that the round has more trials by now; nothing else of it may differ."""
        record = self.round().model_copy(update={"budget": budget})
        for study in studies:
            self.storage.write(f"{self.name}/{study.name}/study.json", _json(study))
        self.storage.write(f"{self.name}/round.json", _json(record))

    def exists(self) -> bool:
        """Whether the round was ever created here."""
        return self.storage.read(f"{self.name}/round.json") is not None

    def round(self) -> RoundRecord:
        """The round's own record.

        Raises:
            StorageError: there is no such round, or its record is broken.
        """
        content = self.storage.read(f"{self.name}/round.json")
        if content is None:
            raise StorageError(_not_there(self))
        path = f"{self.name}/round.json"
        record = self._spec(RoundRecord, path, content)
        for study in record.studies:
            if not is_name(study):
                raise self._broken_spec(path, RoundRecord, f"a study is named after its folder, and not {study!r}")
        return record

    def studies(self) -> list[StudySpec]:
        """The round's studies, in the order in which they were planned."""
        paths = [f"{self.name}/{study}/study.json" for study in self.round().studies]
        contents = [(path, self.storage.read(path)) for path in paths]
        studies = [(path, self._spec(StudySpec, path, content)) for path, content in contents if content is not None]
        for path, study in studies:
            if path != f"{self.name}/{study.name}/study.json":
                raise self._broken_spec(path, StudySpec, f"a study is named after its folder, and not {study.name!r}")
        return [study for _, study in studies]

    def trial_id(self, trial: str) -> tuple[str, str]:
        """The study and key of a trial that is named STUDY/INDEX, or INDEX where there is but one study.

        Raises:
            StorageError: the round has no such study, or no such trial.
        """
        study, _, key = trial.rpartition("/")
        studies = {each.name: each for each in self.studies()}
        if not study and len(studies) == 1:
            (study,) = studies
        if study not in studies:
            raise StorageError(
                f"A trial is named STUDY/INDEX, but got {trial!r}; the round's studies are {', '.join(studies)}."
            )
        index, _, repeat = key.partition(".r")
        if not all(_NUMBER.fullmatch(number) for number in (index, repeat or "0")):
            raise StorageError(f"A trial is named STUDY/INDEX, where INDEX is a number, but got {trial!r}; correct it.")
        if int(index) >= (num_trials := studies[study].num_trials):
            raise StorageError(
                f"A study's trials are numbered from 0, and {study!r} has {num_trials}, but got {trial!r}; "
                f"name one of 0 to {num_trials - 1}."
            )
        return study, trial_key(int(index), int(repeat or 0))

    def status(self) -> RoundStatus | None:
        """How the round stands; None before its first trial."""
        path = f"{self.name}/status.json"
        content = self.storage.read(path)
        return None if content is None else self._spec(RoundStatus, path, content)

    def write_status(self, status: RoundStatus) -> None:
        self.storage.write(f"{self.name}/status.json", _json(status))

    def notes(self) -> str:
        return (self.storage.read(f"{self.name}/notes.md") or b"").decode(errors="replace")

    def write_notes(self, text: str) -> None:
        self.storage.write(f"{self.name}/notes.md", text.encode())

    def write_trial(self, record: TrialRecord) -> None:
        """Write or rewrite one trial's row."""
        sink = pa.BufferOutputStream()
        pq.write_table(trials_table([record]), sink)
        path = f"{self.name}/{record.spec.study}/trials/{single_file(record.spec.key)}"
        self.storage.write(path, sink.getvalue().to_pybytes())

    def trials(self, study: str | None = None) -> pa.Table:
        """All trials of one study, or of the whole round, sorted by study and index; one row each.

        Raises:
            StorageError: a file of them cannot be read; `readable_trials` goes on without it.
        """
        found = [self.readable_trials(name) for name in ([study] if study else self.round().studies)]
        if broken := [sentence for each in found for sentence in each.broken]:
            raise StorageError(broken[0])
        return concatenated([each.found for each in found if each.found.num_rows] or [trials_table([])])

    def readable_trials(self, study: str) -> Readable[pa.Table]:
        """The trials of one study that can be read."""
        content = read_rows(self.storage, f"{self.name}/{study}/trials")
        return Readable(newest(list(content.files.values())), self._broken(study, "trials", content.broken))

    def measurements(self, study: str, key: str) -> pa.Table | None:
        """The measurements of one trial: sealed, or what its newest stream holds so far; None where there are none.

        Raises:
            StorageError: they cannot be read.
        """
        folder = f"{self.name}/{study}/measurements"
        try:
            return trial_measurements(self.storage, folder, key)
        except BrokenFileError as error:
            raise StorageError(
                f"The measurements of trial {study}/{key} in {self.storage.uri!r} must be readable, but are not "
                f"({error}); restore {folder}."
            ) from None

    def readable_measurements(
        self, study: str, make: Callable[[str, pa.Table], _Made]
    ) -> Readable[Mapping[str, _Made]]:
        """What ``make`` makes of each trial's key and measurements, as far as they can be read: one pass, in parallel.

        It is called in several threads at once, and the tables share memory: what is kept of them is to be copied.
        """
        found, broken = all_measurements(self.storage, f"{self.name}/{study}/measurements", make)
        return Readable(found, self._broken(study, "measurements", broken))

    def _broken(self, study: str, kind: str, broken: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(
            f"{self.name}/{study}/{kind}/{file} in {self.storage.uri!r} cannot be read ({why}), so "
            f"{trials_in_file(file)} of study {study} {_MISSING[kind, is_part(file)]}."
            for file, why in broken.items()
        )

    def _spec(self, spec_type: type[_Spec], path: str, content: bytes) -> _Spec:
        try:
            return spec_type.from_json(content)
        except InputError as error:
            raise self._broken_spec(path, spec_type, first_line(error)) from None

    def _broken_spec(self, path: str, spec_type: type[_Spec], why: str) -> StorageError:
        return StorageError(
            f"{path} in {self.storage.uri!r} must hold a {spec_type.__name__}, but does not ({why}); restore it, or "
            "name another round."
        )


MOST_NAMED = 8
"""So many rounds are named in a sentence."""


def round_names(storage: Storage) -> list[str]:
    """Names of the rounds in a storage, sorted."""
    return [name for name in storage.folders() if storage.read(f"{name}/round.json") is not None]


def round_parts(storage: Storage) -> dict[str, Part | None]:
    """The procedure that each round in a storage is part of, by their names, sorted; None for a round of its own."""
    contents = {name: storage.read(f"{name}/round.json") for name in storage.folders()}
    return {name: _part_in(content) for name, content in contents.items() if content is not None}


def _part_in(content: bytes) -> Part | None:
    """What a ``round.json`` says; a broken one is for whoever reads it to tell."""
    with contextlib.suppress(ValueError, RecursionError, TypeError, AttributeError, InputError):
        if (part := json.loads(content).get("part_of")) is not None:
            return Part(**part)
    return None


def listing_command(storage: Storage, *options: str) -> str:
    """The command that lists the rounds in a storage."""
    return shlex.join(["raytune-playbook", "rounds", *options, *_where(storage)])


def _where(storage: Storage) -> list[str]:
    """The option that names a storage, if it is another than the default."""
    return [] if storage.uri == Storage(DEFAULT_STORAGE).uri else ["--storage", storage.uri]


def _not_there(store: RoundStore) -> str:
    """The sentence about a round that is none, which names the one that was meant."""
    parts = round_parts(store.storage)
    rule = f"Round {store.name!r} must be in the storage, but"
    of_it = next((part for part in parts.values() if part is not None and part.round == store.name), None)
    if of_it is not None:
        run = shlex.join(["raytune-playbook", "run", of_it.job, *_where(store.storage)]) if of_it.job else "run(round)"
        return f"{rule} it was not run, only its {of_it.procedure} was; run its job first: {run}"
    own = [name for name, part in parts.items() if part is None]
    shown = ", ".join(own[:MOST_NAMED]) or "none"
    if len(own) > MOST_NAMED:
        shown += f", ... and {len(own) - MOST_NAMED} more ({listing_command(store.storage)})"
    otherwise = "name one of them, or another --storage." if own else "run its job first, or name another --storage."
    advice = did_you_mean(store.name, own, did_you_mean(store.name, parts, otherwise))
    return f"{rule} {store.storage.uri!r} holds {shown}; {advice}"


def profiles_folder(study: str) -> str:
    """Where the profiler traces of a study's trials are in its round's folder."""
    return f"{study}/profiles"


def profile_path(study: str, key: str, first: int, last: int) -> str:
    """Where the trace of some of a trial's steps is in its round's folder; rank 0 makes it."""
    return f"{profiles_folder(study)}/{key}.steps-{first}-{last}.rank0.json.gz"


def _json(spec: RoundRecord | RoundStatus | StudySpec) -> bytes:
    return (json.dumps(spec.model_dump(mode="json"), indent=2) + "\n").encode()
