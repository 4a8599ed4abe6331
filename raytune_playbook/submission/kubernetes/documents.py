"""Manifests as plain values, JSON patches (RFC 6902) that change them, and YAML that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import yaml
from pydantic import JsonValue

from raytune_playbook.study.frozen import FrozenSpec

Document: TypeAlias = dict[str, JsonValue]
"""One object of a manifest."""


class Operation(FrozenSpec):
    """One operation of a JSON patch.

    Fields:
        path: a JSON pointer; ``-`` at its end is the place behind a list's last item.
        value: what is put there; of no meaning where something is removed.
    """

    op: Literal["add", "replace", "remove"]
    path: str
    value: JsonValue = None


def put(path: str, value: JsonValue) -> Operation:
    """Puts a value at a place of an object, whether or not something is there."""
    return Operation(op="add", path=path, value=value)


def patched(document: Document, operations: Iterable[Operation]) -> Document:
    """A copy of the document with the operations carried out one after another.

    Raises:
        LookupError: an operation's place is not there.
    """
    for operation in operations:
        changed = _changed(document, _tokens(operation.path), operation)
        if not isinstance(changed, dict):
            raise LookupError(operation.path)
        document = changed
    return document


def at(document: JsonValue, path: str) -> JsonValue:
    """What is at a place.

    Raises:
        LookupError: nothing is.
    """
    for token in _tokens(path):
        if isinstance(document, dict):
            document = document[token]
        elif isinstance(document, list):
            document = document[int(token)]
        else:
            raise LookupError(path)
    return document


def text_at(document: JsonValue, path: str) -> str:
    """The text at a place.

    Raises:
        LookupError: there is none.
    """
    found = at(document, path)
    if not isinstance(found, str):
        raise LookupError(path)
    return found


def as_yaml(documents: Iterable[Document]) -> str:
    """The documents as one YAML stream, texts of several lines as they read."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True, explicit_start=True)


def _tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _changed(value: JsonValue, tokens: Sequence[str], operation: Operation) -> JsonValue:
    token, rest = tokens[0], tokens[1:]
    if isinstance(value, dict):
        return _changed_object(value, token, rest, operation)
    if isinstance(value, list):
        return _changed_list(value, token, rest, operation)
    raise LookupError(operation.path)


def _changed_object(value: Document, token: str, rest: Sequence[str], operation: Operation) -> JsonValue:
    if operation.op != "add" and token not in value:
        raise LookupError(operation.path)
    if rest:
        return {**value, token: _changed(value[token], rest, operation)}
    if operation.op == "remove":
        return {name: each for name, each in value.items() if name != token}
    return {**value, token: operation.value}


def _changed_list(value: list[JsonValue], token: str, rest: Sequence[str], operation: Operation) -> JsonValue:
    place = len(value) if token == "-" else int(token)
    if rest:
        return [*value[:place], _changed(value[place], rest, operation), *value[place + 1 :]]
    if operation.op == "add":
        return [*value[:place], operation.value, *value[place:]]
    if place >= len(value):
        raise LookupError(operation.path)
    return [*value[:place], *([] if operation.op == "remove" else [operation.value]), *value[place + 1 :]]


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with texts of several lines in blocks."""

    def ignore_aliases(self, data: JsonValue) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
