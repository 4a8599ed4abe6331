"""`HaltonSearch`: quasi-random search for any Ray Tune experiment."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytune_playbook.errors import InputError, SpaceError, StorageError
from raytune_playbook.search import halton
from raytune_playbook.searchers.in_order import InOrderSearch
from raytune_playbook.searchers.tune_space import TuneSpace

LOG = logging.getLogger("raytune_playbook")

_FORMAT = "raytune_playbook.HaltonSearch"
_VERSION = 1


class HaltonSearch(InOrderSearch):
    """Quasi-random search for any `ray.tune.Tuner` (rules QR1 to QR4, QR6)::

        tune.Tuner(
            trainable,
            param_space={"learning_rate": tune.loguniform(1e-4, 1.0), "layers": tune.randint(1, 9)},
            tune_config=tune.TuneConfig(search_alg=HaltonSearch(seed=0), num_samples=20, max_concurrent_trials=4),
        )

    Trial n gets scrambled Halton point n of the seed, whatever the results and the order in which trials end. A space
    of at most 4096 points gives each of them once, in Halton order, and then the search ends.

    *More points:* a new experiment with ``start=n`` goes on where one with n points ended: 10 points, and 10 more with
    ``start=10``, are the same as 20 points. (Ray Tune cannot raise ``num_samples`` of an experiment.)

    *After a crash,* a kill of the driver included, go on with ``Tuner.restore(path, trainable, param_space=...)`` (the
    same space), with ``restart_errored=True`` or ``resume_errored=True`` if failed trials are to run again. No point is
    lost or repeated: Tune's table of trials, whose length is the number of points given, is believed more than the
    searcher's own snapshot. The limit of concurrent trials counts a trial from before the restore once it has reported.

    *What Tune itself does not survive:* a cut-off ``tuner.pkl`` makes `Tuner.restore` raise ``EOFError`` or
    ``UnpicklingError``. Without a readable ``experiment_state`` or ``search_gen_state`` file (a kill before the first
    snapshot, or in the instant in which one is copied to the storage), ``fit`` raises `StorageError`. If that instant
    leaves an older table beside a newer ``search_gen_state``, the experiment ends some trials early. In each case a new
    experiment with ``start=n`` goes on, n being the number of points given (each trial has a folder).

    Args:
        space: Tune's domains and constants, in place of the Tuner's ``param_space``. (Choices may be numpy's scalars
            here; in ``param_space``, Tune hides those from a searcher.) See `tune_space` for what becomes of a domain.
        seed: which scramble of the sequence, 0 to 2^64 - 1.
        start: the first point, counted from 0.
        num_points: how many points to give, those to evaluate included; None for as many as Tune asks for.
        points_to_evaluate: points to give first, with a value for every hyperparameter. They come in addition: the
            Halton points after them are the same as without them, and ``start`` does not count them.
        max_concurrent: trials that may be live at once; ``max_concurrent_trials`` of the TuneConfig takes its place.
            Without the latter, Tune prepares one trial at a time.
        metric: kept for Tune; points never depend on results.
        mode: ``"min"`` or ``"max"``, likewise.

    Raises:
        SpaceError: an argument is out of range, or the space or a point cannot be sampled.
    """

    CKPT_FILE_TMPL = "halton-search-{}.json"

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        start: int = 0,
        num_points: int | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        max_concurrent: int | None = None,
        metric: str | None = None,
        mode: str | None = None,
    ) -> None:
        halton.points(0, 0, seed, start)  # refuses what is no seed or start
        _check_positive("num_points", num_points)
        _check_positive("max_concurrent", max_concurrent)
        if mode not in (None, "min", "max"):
            raise SpaceError(f"mode must be 'min' or 'max', but got {mode!r}; correct it.")
        super().__init__(max_concurrent, metric, mode)
        self._seed, self._start, self._num_points = int(seed), int(start), num_points
        self._given_first = list(points_to_evaluate or ())
        self._num_suggested = 0
        self._num_asked: int | None = None  # how many suggestions Tune will have asked for at its end
        self._saved: dict[str, Any] | None = None  # a snapshot that is to be compared with a space not yet known
        self._refusal: InputError | None = None
        self._read_back_at_s = 0.0
        self._space: TuneSpace | None = None
        if space is not None:
            self._adopt(TuneSpace(space, emits_constants=True))
            self._say_if_too_few()

    # ------------------------------------------------------------------ the space

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: object
    ) -> bool:
        """Take the Tuner's ``param_space``. (Tune calls this before anything starts, and not with an empty one.)

        Raises:
            SpaceError: the space cannot be searched, or this searcher has a space already.
        """
        self._metric, self._mode = metric or self._metric, mode or self._mode
        given = TuneSpace(config, emits_constants=False)
        if self._space is None:
            self._adopt(given)
        elif given.dims:
            raise SpaceError(
                f"A HaltonSearch has one space, but param_space has {', '.join(given.dims)} beside what it got as "
                "space= or from an earlier Tuner; make a new HaltonSearch, or leave all domains to one of the two."
            )
        if self._refusal is None:  # a Tuner that is restored doesn't say how many trials were asked for
            num_samples = spec.get("num_samples")
            self._num_asked = self._num_suggested + num_samples if isinstance(num_samples, int) else None
        self._say_if_too_few()
        return True

    def _adopt(self, space: TuneSpace) -> None:
        self._given_first = [space.admitted(point) for point in self._given_first]
        if space.num_points is not None and self._start >= space.num_points:
            raise SpaceError(
                f"start must be below the number of points, but the space has {space.num_points} and start is "
                f"{self._start}: every point has been given; widen the space."
            )
        self._space = space
        if self._saved is not None:
            self._compare(self._saved)

    def _known_space(self) -> TuneSpace:
        if self._space is None:
            raise SpaceError(
                "HaltonSearch needs a search space, but has none; give domains in the Tuner's param_space (the same "
                "again to Tuner.restore) or as HaltonSearch(space=...)."
            )
        return self._space

    def _num_points_there(self) -> int | None:
        """How many points there are to give, from the first one on; None for no end."""
        size = self._known_space().num_points
        return None if size is None else len(self._given_first) + size - self._start

    def _say_if_too_few(self) -> None:
        there = self._num_points_there()
        wanted = min((end for end in (self._num_points, self._num_asked) if end is not None), default=None)
        if there is not None and wanted is not None and there < wanted:
            LOG.warning(
                "HaltonSearch: %d points are asked for, but there are only %d; it ends with them.", wanted, there
            )

    # ------------------------------------------------------------------ points

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        if self._refusal is not None:
            raise self._refusal
        return super().suggest(trial_id)

    def _is_finished(self) -> bool:
        ends = (self._num_points, self._num_asked, self._num_points_there())
        return any(end is not None and self._num_suggested >= end for end in ends)

    def _next(self) -> dict[str, Any]:
        space, number = self._known_space(), self._num_suggested
        if number < len(self._given_first):
            values = self._given_first[number]
        else:
            values = space.values_at(self._start + number - len(self._given_first), self._seed)
        self._num_suggested += 1
        return space.config(values)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._live.add(trial_id)  # a sign of life of a trial that Tune resumed

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        self.max_concurrent = max_concurrent
        return True

    # ------------------------------------------------------------------ snapshots

    def __getstate__(self) -> dict[str, Any]:
        # A Tuner pickles its searcher when it is made, and reads it back when it is restored: a copy that came out of a
        # pickle, and went into none, belongs to an experiment that has begun, and needs to know how far it got.
        self._refusal = None
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._read_back_at_s = time.time()
        self._refusal = StorageError(
            "HaltonSearch goes on with a restored experiment only if Ray Tune could read its snapshot, but it could "
            f"not (its log says why); start a new experiment with HaltonSearch(seed={self._seed}, start=n), n being "
            "the number of points given so far (each trial has a folder)."
        )

    def save(self, checkpoint_path: str) -> None:
        state = self._identity() | {"num_suggested": self._num_suggested, "num_asked": self._num_asked}
        Path(checkpoint_path).write_text(json.dumps(state, indent=1), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go on where the search that was saved there stood.

        Raises:
            StorageError: the file is cut off, or no snapshot of this format.
            SpaceError: it holds a search over another space, or from another seed, start or points to evaluate.
        """
        self._saved = _read(Path(checkpoint_path))
        if self._space is not None:
            self._compare(self._saved)
        self._num_suggested, self._num_asked = self._saved["num_suggested"], None
        self._live.clear()
        self._refusal = None

    def restore_from_dir(self, checkpoint_dir: str) -> None:
        """Go on with an experiment; called by Tune when it has read the trials in a copy of the experiment's folder.

        Tune logs an exception of this method and starts the experiment anew: `suggest` raises it again, to the user.
        """
        try:
            self._restore_newest(Path(checkpoint_dir))
        except InputError as error:
            self._refusal = error
            raise

    def _restore_newest(self, folder: Path) -> None:
        self._known_space()
        self._refuse_leftovers(folder)
        # Every suggestion becomes a trial of the table at once, and none leaves it, so that its length says where to go
        # on, even where a kill has left files of different snapshots.
        table = max(folder.glob("experiment_state-*.json"))
        num_suggested = self._num_suggested + len(json.loads(table.read_text(encoding="utf-8"))["trial_data"])
        newest = max(
            folder.glob(self.CKPT_FILE_TMPL.format("*")), default=folder / self.CKPT_FILE_TMPL.format("(none)")
        )
        try:
            self.restore(str(newest))
        except StorageError as error:
            LOG.warning("HaltonSearch goes on from Tune's trials, without comparing the space and the seed: %s", error)
        else:
            self._num_asked = self._saved["num_asked"] if self._saved else None
            if self._num_suggested != num_suggested:
                LOG.warning(
                    "HaltonSearch goes on from Tune's trials, %d points so far, while its own snapshot knows of %d.",
                    num_suggested,
                    self._num_suggested,
                )
        self._num_suggested = num_suggested
        self._live.clear()
        self._refusal = None

    def _refuse_leftovers(self, folder: Path) -> None:
        """Refuse, and remove, files of another session that never came to the storage, or not to this copy of it.

        Tune copies the experiment's files into a scratch folder that outlives a killed driver, and takes the newest
        of the folder: the number of trials asked for so far would come from one session, the trials from another.
        """
        patterns = ("experiment_state-*.json", "search_gen_state-*.json", self.CKPT_FILE_TMPL.format("*"))
        paths = [path for pattern in patterns for path in folder.glob(pattern)]
        leftovers = [path for path in paths if path.stat().st_mtime < self._read_back_at_s]
        for path in leftovers:
            path.unlink()
        if leftovers:
            raise StorageError(
                f"An experiment is restored from its storage, but {folder} had newer files of another session, such as "
                f"{leftovers[0].name}; they are removed now, so call Tuner.restore again."
            )

    def _identity(self) -> dict[str, Any]:
        """What a search that goes on must have in common with the one that was saved."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "seed": self._seed,
            "start": self._start,
            "points_to_evaluate": self._given_first,
            "space": self._known_space().fingerprint,
        }

    def _compare(self, saved: Mapping[str, Any]) -> None:
        different = [name for name, value in self._identity().items() if saved.get(name) != value]
        if different:
            raise SpaceError(
                f"A HaltonSearch can only go on as it began, but its snapshot differs in {' and '.join(different)}; "
                "restore it with the former values, or start a new experiment."
            )


def _read(path: Path) -> dict[str, Any]:
    """A snapshot, checked for being one.

    Raises:
        StorageError: it is missing, cut off, or of another format or version.
    """
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(
            f"The snapshot {path} of a HaltonSearch cannot be read ({error}); use an older one."
        ) from None
    if not isinstance(state, dict) or (state.get("format"), state.get("version")) != (_FORMAT, _VERSION):
        raise StorageError(
            f"A snapshot must be of format {_FORMAT}, version {_VERSION}, but {path} is not; restore it with the "
            "release that wrote it."
        )
    return state


def _check_positive(name: str, number: int | None) -> None:
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
        raise SpaceError(f"{name} must be a positive integer or None, but got {number!r}; correct it.")
