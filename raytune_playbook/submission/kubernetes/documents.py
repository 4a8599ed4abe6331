"""Manifests as plain values, JSON patches (RFC 6902) that change them, and YAML that shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import jsonpatch
import jsonpointer
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
    steps = [operation.model_dump() for operation in operations]
    try:
        changed: Document = jsonpatch.apply_patch(document, steps)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise LookupError(*error.args) from None
    return changed


def at(document: JsonValue, path: str) -> JsonValue:
    """What is at a place.

    Raises:
        LookupError: nothing is.
    """
    try:
        found: JsonValue = jsonpointer.resolve_pointer(document, path)
    except jsonpointer.JsonPointerException as error:
        raise LookupError(*error.args) from None
    return found


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


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with texts of several lines in blocks."""

    def ignore_aliases(self, data: JsonValue) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
