"""What kept models scored on whole splits after training: every look at the test set is shown (rule AD6)."""

from __future__ import annotations

from dataclasses import dataclass

from raytune_playbook.analysis.wording import count_text
from raytune_playbook.records.scores import ScoreRecord
from raytune_playbook.report.formatting import looks_text, metrics_text
from raytune_playbook.report.page.views.parts import TrialLink, trial_link
from raytune_playbook.report.reading import RoundReading


@dataclass(frozen=True)
class ScoreRow:
    """One look at a split; ``trial`` is None where the records of the trial are gone."""

    scored_at: str
    split: str
    study: str
    trial: TrialLink | None
    step: str
    metrics: str
    num_examples: str


@dataclass(frozen=True)
class ScoresView:
    """All looks, the latest last; ``test`` says how often the test set was looked at."""

    test: str
    rows: tuple[ScoreRow, ...]


def scores_view(reading: RoundReading) -> ScoresView | None:
    """The looks at whole splits; None where there were none."""
    if not reading.scores:
        return None
    links = {trial.id: trial_link(trial) for trial in reading.trials}
    return ScoresView(
        test=looks_text(reading.scores),
        rows=tuple(_row(score, links.get((score.study, score.trial))) for score in reading.scores),
    )


def _row(score: ScoreRecord, link: TrialLink | None) -> ScoreRow:
    return ScoreRow(
        scored_at=f"{score.scored_at[:16].replace('T', ' ')} UTC",
        split=score.split,
        study=score.study,
        trial=link,
        step=count_text(score.step),
        metrics=metrics_text(score) or "predictions only",
        num_examples=count_text(score.num_examples),
    )
