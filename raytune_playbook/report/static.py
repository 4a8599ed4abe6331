"""The plots of a round's page as files: PNG and SVG, for a paper or a talk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from raytune_playbook.errors import InputError
from raytune_playbook.report.figures.figure import Json
from raytune_playbook.report.figures.plot import Plot
from raytune_playbook.report.insight import Insight
from raytune_playbook.report.standing_alone import plots_of, standing_alone

FORMATS = ("png", "svg")

WIDTH, HEIGHT, SCALE = 900, 560, 2
"""Of a picture, in pixels; a PNG has so many times more of them."""


class _Task(TypedDict):
    """What kaleido is asked for: a figure as a file."""

    fig: dict[str, Json]
    path: str
    opts: dict[str, str | int]


def write_static(insight: Insight, folder: Path) -> list[Path]:
    """Write every plot of the page, as the page shows it at first, and a legend of colours in its title.

    Args:
        insight: the round.
        folder: that gets the files, named as the plots are on the page; it is made where it is missing.

    Raises:
        InputError: kaleido, or a browser that it can draw in, is missing.
    """
    tasks = [_task(plot, folder / f"{plot.name}.{kind}", kind) for plot in plots_of(insight) for kind in FORMATS]
    _draw(tasks, folder)
    return [Path(task["path"]) for task in tasks]


def _task(plot: Plot, path: Path, kind: str) -> _Task:
    size: dict[str, str | int] = {"format": kind, "width": WIDTH, "height": HEIGHT}
    return {"fig": standing_alone(plot), "path": str(path), "opts": size | {"scale": SCALE if kind == "png" else 1}}


def _draw(tasks: Sequence[_Task], folder: Path) -> None:
    try:
        import kaleido
        from choreographer.errors import BrowserDepsError, BrowserFailedError, ChromeNotFoundError
    except ImportError:
        raise InputError(
            "Plots are drawn to files by kaleido, which is not installed; run pip install kaleido."
        ) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Plots are written into a folder, but {str(folder)!r} cannot be one ({error.strerror}); name another."
        ) from None
    try:
        kaleido.write_fig_from_object_sync(tasks)
    except (ChromeNotFoundError, BrowserFailedError, BrowserDepsError) as error:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise InputError(
            "kaleido draws plots to files in a Chromium or Chrome on this machine, but none could be started "
            f"({type(error).__name__}); install one, or name it in the variable BROWSER_PATH."
        ) from None
