"""`BayesianSearch`: exploitation of a refined space as a Ray Tune searcher (rules QR8, QR9)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from raytune_playbook.errors import SpaceError, StorageError
from raytune_playbook.search.bayes import MIN_COMPLETED, propose
from raytune_playbook.search.evidence import Evidence, Goal, Observation
from raytune_playbook.search.refinement import require_refined
from raytune_playbook.searchers.tune_dimensions import is_number
from raytune_playbook.searchers.tune_space import TuneSpace
from raytune_playbook.study.frozen import Value

LOG = logging.getLogger("raytune_playbook")

_FORMAT = "raytune_playbook.BayesianSearch 1"


class BayesianSearch(Searcher):
    """Bayesian optimization for any `ray.tune.Tuner`, to exploit what exploration has found::

        tune.Tuner(
            trainable,
            param_space={"learning_rate": tune.loguniform(0.01, 0.1)},
            tune_config=tune.TuneConfig(
                search_alg=BayesianSearch(observed=observations(space, trials)),
                metric="loss",
                mode="min",
                num_samples=30,
            ),
        )

    A trial counts with the best value that it reports of the metric. One that reports ``infeasible`` with a reason, or
    whose metric is never finite, is infeasible: a constraint, and no bad value. One that raises tells nothing, and its
    point is not tried again. What trials under way will come to is integrated out, so that parallel ones spread.

    After ``Tuner.restore(path, trainable, param_space=...)`` it goes on from its snapshot. What it does not know of, a
    trial that Tune started after the snapshot or restarted under another name, it does not learn from.

    Args:
        observed: trials of earlier studies over the same space, from `raytune_playbook.search.evidence`. With them the
            space must be refined (rule QR9); without any, the search begins with quasi-random points.
        num_initial: how many quasi-random points come first where nothing was observed.
        seed: of the quasi-random points and of the proposals.
        reasons: why a space that does not look refined is searched all the same; see `require_refined`.
        max_concurrent: trials that may be live at once; ``max_concurrent_trials`` of the TuneConfig takes its place.
        metric: what is optimized; the TuneConfig's takes its place.
        mode: ``"min"`` or ``"max"``, likewise.

    Raises:
        SpaceError: the space cannot be searched, or is not refined.
    """

    CKPT_FILE_TMPL = "bayesian-search-{}.json"

    def __init__(
        self,
        *,
        observed: Sequence[Observation] = (),
        num_initial: int = 10,
        seed: int = 0,
        reasons: Mapping[str, str] | None = None,
        max_concurrent: int | None = None,
        metric: str | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        if num_initial < MIN_COMPLETED:
            raise SpaceError(f"num_initial must be at least {MIN_COMPLETED}, but got {num_initial}; raise it.")
        self._earlier, self._num_initial, self._seed, self._reasons = list(observed), num_initial, seed, reasons
        self.max_concurrent = max_concurrent
        self._space: TuneSpace | None = None
        self._num_suggested = 0
        self._ended: list[Observation] = []
        self._crashed: list[dict[str, Value]] = []
        self._points: dict[str, dict[str, Value]] = {}  # of the trials under way
        self._live: set[str] = set()  # those of them that count towards the limit
        self._best: dict[str, float] = {}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: object
    ) -> bool:
        """Take the Tuner's ``param_space``, metric and mode; Tune calls this before anything starts.

        Raises:
            SpaceError: the space cannot be searched or is not refined, or there is nothing to optimize.
        """
        self._metric, self._mode = metric or self._metric, mode or self._mode
        if self._metric is None or self._mode not in ("min", "max"):
            raise SpaceError(
                "Bayesian optimization needs a metric and a mode, but got "
                f"metric={self._metric!r} and mode={self._mode!r}; give both in the TuneConfig."
            )
        self._space = TuneSpace(config, emits_constants=False)
        if self._earlier:
            for warning in require_refined(self._space.hyperparameters, self._earlier, self._goal, self._reasons):
                LOG.warning("BayesianSearch: %s", warning)
        return True

    # ------------------------------------------------------------------ points

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        space = self._known_space()
        if self.max_concurrent is not None and len(self._live) >= self.max_concurrent:
            return None
        size = space.num_points
        if size is not None and len(self._earlier) + self._num_suggested >= size:
            return Searcher.FINISHED  # type: ignore[return-value] # a sentinel that Ray's annotation leaves out
        drawn = self._drawn(space)
        self._num_suggested += 1
        self._points[trial_id] = drawn
        self._live.add(trial_id)
        return space.config(space.values_of(drawn))

    def _drawn(self, space: TuneSpace) -> dict[str, Value]:
        observed = [*self._earlier, *self._ended]
        num_completed = sum(not seen.infeasible for seen in observed)
        is_initial = not self._earlier and self._num_suggested < self._num_initial
        if is_initial or num_completed < MIN_COMPLETED:
            return space.drawn_at(self._num_suggested, self._seed)
        if not self._earlier and self._num_suggested == self._num_initial:
            self._warn_if_not_refined(space, observed)
        pending = [*self._points.values(), *self._crashed]
        evidence = Evidence(observed, pending, self._goal)
        # Another seed each time: else two proposals from the same evidence would start their search alike.
        return propose(space.hyperparameters, evidence, self._seed + self._num_suggested)

    def _warn_if_not_refined(self, space: TuneSpace, observed: Sequence[Observation]) -> None:
        """The search has explored by itself: too late to refuse, but the user should know."""
        try:
            require_refined(space.hyperparameters, observed, self._goal, self._reasons)
        except SpaceError as finding:
            LOG.warning("BayesianSearch: its quasi-random points have not refined the space: %s", finding)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id not in self._points:
            return  # it was started after the snapshot that a restore went back to
        self._live.add(trial_id)  # a sign of life of a trial that Tune resumed
        value = result.get(self._metric or "")
        if is_number(value):
            better = min if self._goal == "minimize" else max
            self._best[trial_id] = better(self._best.get(trial_id, value), value)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result is not None:
            self.on_trial_result(trial_id, result)
        self._live.discard(trial_id)
        drawn = self._points.pop(trial_id, None)
        if drawn is None:
            return
        best = self._best.pop(trial_id, None)
        if error:
            self._crashed.append(drawn)
        else:
            is_infeasible = bool((result or {}).get("infeasible"))
            self._ended.append(Observation(drawn, None if is_infeasible else best))

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        self.max_concurrent = max_concurrent
        return True

    @property
    def _goal(self) -> Goal:
        return "minimize" if self._mode == "min" else "maximize"

    def _known_space(self) -> TuneSpace:
        if self._space is None:
            raise SpaceError(
                "BayesianSearch needs a search space, but has none; give domains in the Tuner's param_space (the same "
                "again to Tuner.restore)."
            )
        return self._space

    # ------------------------------------------------------------------ snapshots

    def save(self, checkpoint_path: str) -> None:
        state = {
            "format": _FORMAT,
            "space": self._known_space().fingerprint,
            "num_suggested": self._num_suggested,
            "ended": [[seen.values, seen.objective] for seen in self._ended],
            "crashed": self._crashed,
            "points": self._points,
            "best": self._best,
        }
        Path(checkpoint_path).write_text(json.dumps(state, indent=1), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go on where the search that was saved there stood.

        Raises:
            StorageError: it is no snapshot of a BayesianSearch.
            SpaceError: it holds a search over another space.
        """
        try:
            state = json.loads(Path(checkpoint_path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise StorageError(f"The snapshot {checkpoint_path} cannot be read ({error}); use an older one.") from None
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise StorageError(f"A snapshot must be of format {_FORMAT!r}, but {checkpoint_path} is not; use another.")
        if self._space is not None and state["space"] != self._space.fingerprint:
            raise SpaceError(
                "A BayesianSearch can only go on in the space in which it began, but its snapshot has another; "
                "restore it with the former param_space, or start a new experiment."
            )
        self._num_suggested = state["num_suggested"]
        self._ended = [Observation(values, objective) for values, objective in state["ended"]]
        self._crashed, self._points, self._best = state["crashed"], state["points"], state["best"]
        self._live = set()  # a trial that Tune restarts has another name, and this one would be waited for in vain
