"""Inputs that are nearly right: JSON, bytes and text with something wrong in them; and what every door promises."""

from __future__ import annotations

import contextlib
import copy
import json
import keyword
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from raytune_playbook.errors import PlaybookError

ODD_TEXTS = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                " ",
                ".",
                "..",
                "../x",
                "/",
                "a/b",
                "/etc/passwd",
                "~",
                "~nobody-here",
                "\0",
                "a\0b",
                "\n",
                "\x1b[31m",
            ),
            *(
                "nan",
                "inf",
                "-0",
                "1e999",
                "null",
                "<script>alert(1)</script>",
                "{{ 7 * 7 }}",
                "%s",
                "{0}",
                "[bold]",
                "é",
            ),
            *(
                "\ud800",
                "\u202e",
                "x" * 3000,
                "learning_rate",
                "loss",
                "validation",
                "00000",
                "all",
                "s3://x",
                "a" * 300,
            ),
        ]
    ),
    st.text(max_size=12),
)

ODD_NUMBERS = st.one_of(
    st.sampled_from(
        [
            *(0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400, 1e308, 5e-324, -0.0, 0.5, 1.0, 1e16),
            *(float("nan"), float("inf"), float("-inf")),
        ]
    ),
    st.integers(-50, 50),
    st.floats(),
)

SCALARS = st.one_of(st.none(), st.booleans(), ODD_NUMBERS, ODD_TEXTS)

JSON_VALUES: SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXTS, inner, max_size=3), max_leaves=6
)


@contextlib.contextmanager
def only_sentences() -> Iterator[None]:
    """Within it whatever is raised says in words what is wrong; `--hypothesis-show-statistics` tells how often."""
    try:
        yield
    except PlaybookError as error:
        event("a sentence")
        assert str(error).strip(), repr(error)
    else:
        event("a success")


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below it."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# ---------------------------------------------------------------------- JSON


@st.composite
def mutated_json(draw: DrawFn, document: Any) -> bytes:
    """A JSON document in which a few values are others, gone, new or swapped; or its bytes are damaged."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        _mutate(draw, changed)
    content = json.dumps(changed).encode()
    match draw(st.integers(0, 11)):
        case 0:
            return draw(damaged_bytes(content))
        case 1:
            return draw(st.sampled_from(_NO_DOCUMENTS))
    return content


_NO_DOCUMENTS = [
    *(b"", b"null", b"[]", b"{}", b"0", b'"x"', b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"1" * 5000),
    b'{"name": "a", "name": "b"}',
]


def _mutate(draw: DrawFn, document: Any) -> None:
    places = [(holder, key) for holder in _holders(document) for key in _keys(holder)]
    if not places:
        return
    holder, key = draw(st.sampled_from(places))
    match draw(st.integers(0, 5)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[draw(ODD_TEXTS)] = holder.pop(key)
        case 2:
            other, place = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(other[place])
        case 3:
            holder[key] = [holder[key]] if draw(st.booleans()) else {draw(ODD_TEXTS): holder[key]}
        case _:
            holder[key] = draw(JSON_VALUES)


def _holders(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        yield node
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _holders(inner)


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


# ---------------------------------------------------------------------- bytes


@st.composite
def damaged_bytes(draw: DrawFn, content: bytes) -> bytes:
    """Bytes that were cut off, flipped, overwritten, doubled or put into others."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        size = len(damaged)
        # Headers and footers decide the most, so that every other damage is within the last or first bytes.
        at = draw(st.integers(0, max(0, size - 1)))
        if draw(st.booleans()):
            near = min(size, 600)
            at = draw(st.integers(max(0, size - near), max(0, size - 1))) if draw(st.booleans()) else at % max(1, near)
        length = draw(st.integers(1, 40))
        match draw(st.integers(0, 5)):
            case 0:
                del damaged[at:]
            case 1:
                del damaged[at : at + length]
            case 2:
                damaged[at:at] = draw(st.binary(min_size=1, max_size=40))
            case 3:
                damaged[at:at] = damaged[at : at + length]
            case 4 if size:
                damaged[at] ^= 1 << draw(st.integers(0, 7))
            case _ if size:
                damaged[at : at + 1] = bytes([draw(st.integers(0, 255))])
    return bytes(damaged)


# ---------------------------------------------------------------------- text


@st.composite
def mutated_text(draw: DrawFn, text: str) -> str:
    """Code in which lines or words are gone, doubled, swapped or others."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        if not lines:
            break
        at, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 7)):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[other])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case 4:
                lines[at] = draw(st.sampled_from(["", " ", "\t", "  "])) + lines[at].lstrip()
            case 5:
                lines[at] = lines[at] + draw(ODD_TEXTS)
            case _:
                words = lines[at].split(" ")
                place = draw(st.integers(0, len(words) - 1))
                words[place] = draw(_WORDS)
                lines[at] = " ".join(words)
    return "\n".join(lines) + "\n"


_WORDS = st.one_of(
    st.sampled_from(
        [
            *keyword.kwlist,
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "=",
            "==",
            "0",
            "-1",
            "1e999",
            '""',
            "'x'",
            "Round(",
            "...",
        ]
    ).filter(lambda word: word not in ("while", "for")),  # which may never end
    ODD_TEXTS,
)
