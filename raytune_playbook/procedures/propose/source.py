"""A round as the source of its job file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raytune_playbook.procedures.propose.python_text import (
    LINE_LENGTH,
    Bracketed,
    Node,
    call,
    dictionary,
    literal,
    rendered,
    sequence,
)
from raytune_playbook.study.frozen import FrozenSpec, Value
from raytune_playbook.study.hyperparameters.hyperparameter import (
    Categorical,
    Discrete,
    Float,
    Hyperparameter,
    Int,
    finite_values,
)
from raytune_playbook.study.round import Round

_ALWAYS = frozenset({"objective", "budget", "resources", "seed"})
"""Fields of a round that are written even where they are at their defaults."""

_TELLING = frozenset({"metric", "split", "num_workers"})
"""The same of an objective and of resources."""


@dataclass(frozen=True)
class WorkloadSource:
    """How a job file names its workload.

    Fields:
        imports: lines that it needs.
        node: the expression.
        is_users: whether its code lies beside the old job file, so that the new one must.
    """

    imports: tuple[str, ...]
    node: Node
    is_users: bool = False


def job_source(round_: Round, workload: WorkloadSource, header: str) -> str:
    """A job file that defines the round.

    Args:
        header: its docstring, without quotes and in lines of at most `LINE_LENGTH` characters.
    """
    names: set[str] = {"Round"}
    fields: dict[str, Node] = {}
    for name, field in Round.model_fields.items():
        value = getattr(round_, name)
        if name == "workload":
            fields[name] = workload.node
        elif name in _ALWAYS or value != field.get_default(call_default_factory=True):
            fields[name] = _node(value, names, is_open=name in ("scientific", "nuisance"))
    own = f"from raytune_playbook import {', '.join(sorted(names))}"
    if len(own) > LINE_LENGTH:
        own = rendered(Bracketed("from raytune_playbook import (", tuple(("", n) for n in sorted(names)), ")", True))
    ours = [own, *sorted(line for line in workload.imports if line.startswith("from raytune_playbook"))]
    users = sorted(set(workload.imports) - set(ours))
    imports = "\n".join([*ours, *([""] if users else []), *users])
    source = rendered(call("Round", (), fields, is_open=True), before=len("round = "))
    return f'"""{_in_docstring(header)}\n"""\n\n{imports}\n\nround = {source}\n'


def _in_docstring(text: str) -> str:
    """As it stands between three quotes."""
    escaped = text.strip().replace("\\", r"\\").replace('"""', r"\"\"\"")
    lines = ["".join(_printable(character) for character in line.rstrip()) for line in escaped.splitlines()]
    return "\n".join([f"\\{lines[0]}" if lines[0].startswith('"') else lines[0], *lines[1:]])


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


_Content = Hyperparameter | FrozenSpec | Mapping[str, "_Content"] | tuple["_Content", ...] | Value


def _node(content: _Content, names: set[str], *, is_open: bool = False) -> Node:
    """A field of a round; ``names`` gains those that are to be imported.

    Args:
        is_open: puts each of several entries on a line of its own.
    """
    match content:
        case Float() | Int() | Discrete() | Categorical():
            return _hyperparameter(content, names)
        case FrozenSpec():
            return _spec(content, names)
        case Mapping():
            entries = {key: _node(value, names) for key, value in content.items()}
            return dictionary(entries, is_open=is_open and len(entries) > 1)
        case tuple():
            return sequence([_node(value, names) for value in content])
        case _:
            return literal(content)


def _hyperparameter(hyperparameter: Hyperparameter, names: set[str]) -> Node:
    names.add(type(hyperparameter).__name__)
    named: dict[str, Node] = {}
    if isinstance(hyperparameter, Float | Int):
        positional: list[Node] = [literal(hyperparameter.low), literal(hyperparameter.high)]
        if hyperparameter.scale != "linear":
            named["scale"] = literal(hyperparameter.scale)
    else:
        positional = [sequence([literal(value) for value in finite_values(hyperparameter) or ()])]
    if hyperparameter.when:
        when = {
            name: literal(values[0]) if len(values) == 1 else sequence([literal(value) for value in values])
            for name, values in hyperparameter.when.items()
        }
        named["when"] = dictionary(when)
    return call(type(hyperparameter).__name__, positional, named)


def _spec(spec: FrozenSpec, names: set[str]) -> Node:
    """A specification by those of its fields that are not at their defaults, or that say what it is."""
    names.add(type(spec).__name__)
    fields = {
        name: _node(getattr(spec, name), names)
        for name, field in type(spec).model_fields.items()
        if name in _TELLING
        or field.is_required()
        or getattr(spec, name) != field.get_default(call_default_factory=True)
    }
    return call(type(spec).__name__, (), fields)
