"""JSON patches against RFC 6902's own examples, and YAML that reads back."""

from __future__ import annotations

import pytest
import yaml

from raytune_playbook.submission.kubernetes.documents import Operation, as_yaml, at, patched, put


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [  # its appendix A
        ({"foo": "bar"}, ("add", "/baz", "qux"), {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, ("add", "/foo/1", "qux"), {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, ("remove", "/baz", None), {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, ("remove", "/foo/1", None), {"foo": ["bar", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, ("replace", "/baz", "boo"), {"baz": "boo", "foo": "bar"}),
        ({"foo": "bar"}, ("add", "/child", {"grandchild": {}}), {"foo": "bar", "child": {"grandchild": {}}}),
        ({"foo": ["bar"]}, ("add", "/foo/-", ["abc", "def"]), {"foo": ["bar", ["abc", "def"]]}),
        ({"/": 9, "~1": 10}, ("replace", "/~01", 11), {"/": 9, "~1": 11}),
        ({"a/b": {"c": [1, 2]}}, ("replace", "/a~1b/c/1", 3), {"a/b": {"c": [1, 3]}}),
    ],
)
def test_an_operation_does_what_the_rfc_says(document, operation, expected):
    op, path, value = operation
    before = repr(document)
    assert patched(document, [Operation(op=op, path=path, value=value)]) == expected
    assert repr(document) == before


@pytest.mark.parametrize(
    ("op", "path"),
    [
        ("add", "/baz/bat"),
        ("replace", "/baz"),
        ("remove", "/baz"),
        ("replace", "/list/1"),
        ("remove", "/list/1"),
        ("add", "/foo/x"),
    ],
)
def test_a_place_that_is_not_there_is_none_to_change(op, path):
    with pytest.raises(LookupError):
        patched({"foo": "bar", "list": [1]}, [Operation(op=op, path=path, value=1)])


def test_what_was_put_somewhere_is_there():
    document = patched({"a": {"b": []}}, [put("/a/b/-", {"c": 1}), put("/a/b/0/d~1e", 2)])
    assert at(document, "/a/b/0/d~1e") == 2
    with pytest.raises(LookupError):
        at(document, "/a/b/0/c/d")


LINES = ["two\nlines\n", "no end\nhere", "\ttab\n", "trailing  \nblank \n", "\r\n", "ä\n#: &x\n"]
TEXTS = ["", "a", "yes", "1.0", "\0", *LINES]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_read_back_as_they_were(text):
    assert yaml.safe_load(as_yaml([{"text": text}])) == {"text": text}


def test_code_is_legible_and_nothing_is_an_anchor():
    shared = {"cpu": "1"}
    text = as_yaml(
        [{"data": {"job.py": 'x = """a"""\nif x:\n    y = "b"\n'}, "one": shared, "two": shared}, {"next": 1}]
    )
    assert 'job.py: |\n    x = """a"""\n    if x:\n        y = "b"\n' in text
    assert "&" not in text and "*" not in text
    assert len(list(yaml.safe_load_all(text))) == 2
