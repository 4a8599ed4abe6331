"""Which places may be named: URIs without credentials in them, and paths that stay inside their storage.

A storage's URI stands in records, in commands, on pages and in logs, and so would a credential in it.
Names that records hold (a round's, its studies') become paths, and whoever can write a storage can write them.
"""

from __future__ import annotations

import re

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)

_USER = re.compile(r"[^/@?#]*:(?!\d+/)[^@?#]*@|[^/@?#:]*@")
"""Before a host: a name and a password, which may hold a slash, or a name alone; ``host:9000/`` is neither."""

_SECRET_OPTION = re.compile(r"((?:^|&)(?:sig|[^=&]*(?:key|secret|token|passw)[^=&]*)=)[^&#]*", re.IGNORECASE)

_USER_OF_ENDPOINT = re.compile(r"((?://|%2f%2f)[^/@&]*(?::|%3a))[^/@&]*?(@|%40)", re.IGNORECASE)

_MASK = "***"

BUCKETS = ("s3", "gs", "gcs", "abfs", "abfss")
"""Schemes of object stores, after which a bucket's name comes, or a container's."""

SCHEMES = ("file", *BUCKETS, "hdfs", "viewfs", "hf", "mock")
"""Those of the URIs that pyarrow knows, in small letters as it wants them."""

_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where there is one",
    **dict.fromkeys(("gs", "gcs"), "GOOGLE_APPLICATION_CREDENTIALS"),
    **dict.fromkeys(("abfs", "abfss"), "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"),
    **dict.fromkeys(("http", "https"), "RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"),
}
"""By scheme, the variables that pyarrow's filesystems read, and a dashboard's clients."""


def without_credentials(uri: str) -> str:
    """A URI as it may be shown: what looks like a password or key is `***`.

    Of a name without a password only S3's is one, for it is half of a pair of keys; Azure has a container there, HDFS a
    user, and Google's storage takes `anonymous` alone.
    """
    if (parts := _URI.fullmatch(uri)) is None:
        return uri
    place, mark, options = parts["rest"].partition("?")
    user = _USER.match(place)
    if user is not None and (":" in user[0] or parts["scheme"].lower() == "s3"):
        place = f"{_MASK}@{place[user.end() :]}"
    options = _SECRET_OPTION.sub(rf"\g<1>{_MASK}", _USER_OF_ENDPOINT.sub(rf"\g<1>{_MASK}\g<2>", options))
    return f"{parts['scheme']}://{place}{mark}{options}"


def credentials_refused(uri: str) -> str | None:
    """The sentence about a URI that holds credentials, which does not show them; None of any other."""
    if (shown := without_credentials(uri)) == uri:
        return None
    scheme = uri.partition("://")[0].lower()
    instead = f"set {_ENVIRONMENT[scheme]}, and " if scheme in _ENVIRONMENT else ""
    return (
        "Credentials come from the environment, and none may stand in a URI, which goes into records and logs, but got "
        f"{shown!r}; {instead}leave them out of it."
    )


def place_refused(uri: str) -> str | None:
    """The sentence about what can be no folder's path or URI, whoever asks where; None of any other.

    Looked at alone: nothing is asked on the network, and no folder need be there.
    """
    if (refusal := credentials_refused(uri)) is not None:
        return refusal
    if not is_writable_text(uri):
        return f"a path or URI is text in UTF-8, but got {uri!r}; correct it."
    if not uri.strip():
        return f"a folder's path or a URI is needed, but got {uri!r}; name the folder."
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return None
    if scheme not in SCHEMES:
        return f"a folder's path or a URI that pyarrow knows is needed, but got {uri!r}; correct it."
    if scheme in BUCKETS and not re.split("[/?]", rest.rpartition("@")[2])[0]:
        return f"a URI of an object store names a bucket, but got {uri!r}; give {scheme}://BUCKET/FOLDER."
    return None


def is_writable_text(text: str) -> bool:
    """Whether a filesystem can be asked for it: a command's argument that is no UTF-8 has half characters in it."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_inside(path: str) -> bool:
    """Whether a path from a folder leads nowhere outside of it."""
    return not path.startswith("/") and ".." not in path.split("/") and is_writable_text(path)


def uri_in(uri: str, path: str) -> str:
    """The URI of what has a path in a folder; its query, such as an object store's region, stays at the end."""
    folder, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    return f"{folder.rstrip('/')}/{path}{mark}{query}"


def is_name(name: str) -> bool:
    """Whether a text names one thing in a folder."""
    return name not in ("", ".") and "/" not in name and is_inside(name)
