"""From the page's view to its HTML: templates that escape every text, and the files that are embedded.

The page holds all that it needs, and its policy forbids the browser any request, whatever a record may hold.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from raytune_playbook.report.figures.plot import Plot
from raytune_playbook.report.page.views.page import PageView

_PACKAGE = "raytune_playbook.report.page"

SCRIPTS = ("elements", "judging", "figures", "curves", "value_axis", "rejudged", "table", "trial", "page")
"""Our own, in ``script/``, in the order in which they are embedded; all in one scope, each uses the ones before it."""


def render(page: PageView) -> str:
    """The whole file."""
    data = {**page.data, "figures": {plot.name: plot.figure.json for plot in _plots(page)}}
    named = {field.name: getattr(page, field.name) for field in fields(page)}
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            named | {"data": data},
            style=_embedded("page.css"),
            script=Markup("\n").join(_embedded(f"script/{name}.js") for name in SCRIPTS),
            plotly=Markup(get_plotlyjs()),
        )
    )


def _plots(page: PageView) -> tuple[Plot, ...]:
    return page.plots.all if page.procedures is None else (*page.procedures.plots, *page.plots.all)


@cache
def _templates() -> Environment:
    """Their texts are escaped (autoescape), and a name that a view does not have is an error."""
    templates = Environment(
        loader=PackageLoader(_PACKAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Of `tojson`: figures keep the order of their plots, and NaN is an error, for a browser does not read it.
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return templates


def _embedded(name: str) -> Markup:
    """One of our own files, which is embedded as it is."""
    return Markup(files(_PACKAGE).joinpath(name).read_text(encoding="utf-8"))
