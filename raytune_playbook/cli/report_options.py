"""The options of ``raytune-playbook report``: what judges the trials, and where other tools' trials are."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click
from click.core import ParameterSource

from raytune_playbook.errors import SpecError
from raytune_playbook.study.frozen import FrozenSpec
from raytune_playbook.study.settings import Objective

if TYPE_CHECKING:
    from raytune_playbook.report.foreign.foreign_round import ForeignRound

_Command = TypeVar("_Command", bound=Callable[..., object])

SOURCES = ("from_ray_tune", "from_optuna", "from_csv")

_OPTIONS = (
    click.option(
        "--from-ray-tune", metavar="FOLDER", type=click.Path(), help="Instead: a Ray Tune experiment's trials."
    ),
    click.option("--from-optuna", metavar="URL", help="Instead: trials of an Optuna study, in a database or a file."),
    click.option("--from-csv", metavar="FILE", type=click.Path(), help="Instead: trials in a CSV or Parquet file."),
    click.option(
        "--roles", metavar="FILE", type=click.Path(), help="TOML file that says what another tool's trials mean."
    ),
    click.option("--objective", metavar="NAME", help="The metric that trials are judged by, without a new run."),
    click.option("--maximize/--minimize", default=None, help="Whether large or small values of it are good."),
    click.option("--over", type=click.Choice(["best", "last"]), help="Its best value over training, or the last."),
    click.option("--split", type=click.Choice(["train", "validation"]), help="Of a round: where it is measured."),
    click.option("--scientific", metavar="NAME", multiple=True, help="A hyperparameter whose values are compared."),
    click.option("--fixed", metavar="NAME=VALUE", multiple=True, help="Only trials with this value."),
    click.option("--seeds", metavar="NAME", multiple=True, help="Trials that differ in it alone are repeats."),
    click.option("--ignore", metavar="NAME", multiple=True, help="What is no hyperparameter."),
    click.option("--study", metavar="NAME", help="Which study, where an Optuna database has several."),
    click.option("--name", metavar="NAME", help="Of the round, on the page."),
    click.option("--goal", metavar="TEXT", help="The question that the trials answer."),
    click.option("--output", metavar="FILE", type=click.Path(), help="The page (default: NAME_report.html)."),
)


def report_options(command: _Command) -> _Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class ReportOptions(FrozenSpec):
    """What was given, by the options' names."""

    from_ray_tune: str | None = None
    from_optuna: str | None = None
    from_csv: str | None = None
    roles: str | None = None
    objective: str | None = None
    maximize: bool | None = None
    over: Literal["best", "last"] | None = None
    split: Literal["train", "validation"] | None = None
    scientific: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    study: str | None = None
    name: str | None = None
    goal: str | None = None
    output: str | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether other tools' trials are asked for.

        Raises:
            SpecError: two sources are named, or options that only one of the two kinds of trials has.
        """
        given = {name: value for name, value in self if value not in (None, ())}
        sources = [name for name in SOURCES if name in given]
        if len(sources) > 1:
            raise SpecError(
                f"Trials are read from one place, but {' and '.join(map(_flag, sources))} name two; give one."
            )
        if "study" in given and sources and sources != ["from_optuna"]:
            raise SpecError(f"--study names one of Optuna's studies, but {_flag(sources[0])} has none; drop it.")
        if sources and "split" in given:
            raise SpecError("--split is about a round's own metrics, which other tools do not tell apart; drop it.")
        others = [name for name in given if name not in (*SOURCES, *OF_ANY_TRIALS)]
        if not sources and others:
            raise SpecError(
                f"{_flag(others[0])} is about other tools' trials, but none are named; say where they are with "
                f"{' or '.join(map(_flag, SOURCES))}."
            )
        return bool(sources)

    def judging(self, own: Objective) -> Objective | None:
        """The objective that was asked for (rule QR5); what was not said of it is as in the round's own.

        Returns:
            None where nothing was said: the round's own.
        """
        goal = None if self.maximize is None else "maximize" if self.maximize else "minimize"
        said = {"metric": self.objective, "split": self.split, "over": self.over, "goal": goal}
        given = {name: value for name, value in said.items() if value is not None}
        return own.model_copy(update=given) if given else None


OF_ANY_TRIALS = ("objective", "maximize", "over", "split")
"""Options of rounds and of other tools' trials."""


def read_given(given: ReportOptions) -> ForeignRound:
    """The trials that options ask for.

    Raises:
        InputError: there are no such trials, or what was said does not fit them.
    """
    from raytune_playbook.report.foreign.read import Said, read_optuna, read_ray_tune, read_table

    said = Said(
        name=given.name,
        goal=given.goal,
        objective=given.objective,
        maximize=given.maximize,
        over=given.over,
        scientific=given.scientific,
        seeds=given.seeds,
        ignore=given.ignore,
        fixed=_fixed(given.fixed),
    )
    roles, command = given.roles, _command()
    if given.from_ray_tune is not None:
        return read_ray_tune(given.from_ray_tune, roles=roles, command=command, **said)
    if given.from_optuna is not None:
        return read_optuna(given.from_optuna, given.study, roles=roles, command=command, **said)
    return read_table(given.from_csv, roles=roles, command=command, **said)


def _fixed(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise SpecError(f"--fixed takes NAME=VALUE, but got {name!r}; write it so.")
    return {name: value for name, _, value in pairs}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _command() -> str:
    """The command that is running, as it can be run again from the same folder."""
    context = click.get_current_context(silent=True)
    if context is None:
        return ""
    words = ["raytune-playbook", context.info_name or ""]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if context.get_parameter_source(parameter.name or "") is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
            continue
        for each in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], str(each)]
    return shlex.join(words)


MOST_NEXT = 4
"""So many lines say what to do next; the page has all."""


def write_foreign_page(given: ReportOptions, static: str | None = None) -> str:
    """Write the page of the trials that options ask for, or its plots.

    Args:
        given: the options.
        static: a folder that gets the plots instead.

    Returns:
        How the trials ended, what they answer, what to do next, and where the page is.

    Raises:
        InputError: there are no such trials, what was said does not fit them, or the page's folder is not there.
    """
    read = read_given(given)
    if static is not None:
        from raytune_playbook.report.static import write_static

        return f"{len(write_static(read.insight, Path(static)))} files in {static}"
    path = Path(given.output or f"{read.reading.record.name.replace('/', '_')}_report.html")
    if not path.parent.is_dir() or path.is_dir():
        raise SpecError(f"The page needs a folder to be written to, but {str(path)!r} is in none; correct --output.")
    return "\n".join([*_said_of(read), str(read.report(path))])


def _said_of(read: ForeignRound) -> list[str]:
    """What the trials came to, for the terminal."""
    from raytune_playbook.report.formatting import counts_text

    study = read.insight.next_study
    todo = [*(change.words for change in study.changes), *(sentence for sentence, _ in study.advice)]
    shown = todo if len(todo) <= MOST_NEXT else todo[: MOST_NEXT - 1]
    lines = [f"Trials: {counts_text(read.reading.summary.total)}.", read.answer.sentence]
    lines += [f"Next: {sentence}" for sentence in shown]
    return lines + ([f"{len(todo) - len(shown)} more stand on the page."] if len(todo) > len(shown) else [])
