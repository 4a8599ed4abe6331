"""Calls and literals as Python source, laid out as its usual formatters do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from raytune_playbook.study.frozen import Value

LINE_LENGTH = 120

_INDENT = 4


@dataclass(frozen=True)
class Bracketed:
    """What stands in brackets.

    Fields:
        opening, closing: such as ``Float(`` and ``)``.
        items: each with what stands before it, such as ``scale=`` or ``"momentum": ``.
        is_open: on lines of their own, even where all of them fit on one.
    """

    opening: str
    items: tuple[tuple[str, Node], ...]
    closing: str
    is_open: bool = False


Node: TypeAlias = str | Bracketed
"""A text is source as it is; one in quotes may be divided over lines."""


def call(name: str, positional: Iterable[Node], named: Mapping[str, Node], *, is_open: bool = False) -> Bracketed:
    """A call: ``Float(0.1, 1.0, scale="log")``."""
    items = [*(("", node) for node in positional), *((f"{key}=", node) for key, node in named.items())]
    return Bracketed(f"{name}(", tuple(items), ")", is_open)


def dictionary(entries: Mapping[str, Node], *, is_open: bool = False) -> Bracketed:
    """A dict with texts as keys."""
    return Bracketed("{", tuple((f"{literal(key)}: ", node) for key, node in entries.items()), "}", is_open)


def sequence(nodes: Sequence[Node]) -> Bracketed:
    """A list."""
    return Bracketed("[", tuple(("", node) for node in nodes), "]")


def literal(value: Value) -> str:
    """A value: double quotes unless single ones need fewer escapes, and ``1e-5`` for 0.00001."""
    if isinstance(value, str):
        return _quoted(value)
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if isinstance(value, float) and e else text


def _quoted(text: str) -> str:
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = "".join(_escaped(character) for character in text)
    return f"{quote}{escaped.replace(quote, chr(92) + quote)}{quote}"


def _escaped(character: str) -> str:
    if character in "'\"":
        return character
    return repr(character)[1:-1]  # what cannot be printed, and the backslash


def rendered(node: Node, *, indent: int = 0, before: int = 0, after: int = 0) -> str:
    """A node's source.

    Args:
        indent: of the line that it begins on.
        before, after: how many characters stand before it on that line, indent included, and after it.
    """
    if isinstance(node, str):
        fits = before + len(node) + after <= LINE_LENGTH
        return node if fits or node[:1] not in "'\"" else _divided(node, indent)
    flat = _flat(node)
    if flat is not None and before + len(flat) + after <= LINE_LENGTH:
        return flat
    inner = indent + _INDENT
    lines = [
        f"{' ' * inner}{prefix}{rendered(item, indent=inner, before=inner + len(prefix), after=1)},"
        for prefix, item in node.items
    ]
    return "\n".join([node.opening, *lines, f"{' ' * indent}{node.closing}"])


def _flat(node: Node) -> str | None:
    """On one line; None where it is not to be."""
    if isinstance(node, str):
        return node
    if node.is_open and node.items:
        return None
    items = [(prefix, _flat(item)) for prefix, item in node.items]
    if any(item is None for _, item in items):
        return None
    return f"{node.opening}{', '.join(f'{prefix}{item}' for prefix, item in items)}{node.closing}"


def _divided(text: str, indent: int) -> str:
    """A long text as several that Python joins, divided between words; as it is where it has none, or escapes."""
    quote, content = text[0], text[1:-1]
    width = LINE_LENGTH - indent - _INDENT - 3
    parts = textwrap.wrap(content, width, drop_whitespace=False, break_long_words=False, break_on_hyphens=False)
    if "\\" in content or len(parts) < 2:
        return text
    inner = " " * (indent + _INDENT)
    return "\n".join(["(", *(f"{inner}{quote}{part}{quote}" for part in parts), f"{' ' * indent})"])
