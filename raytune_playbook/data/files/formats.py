"""The registry of file formats: a new format is one module beside this one, and one line here."""

from __future__ import annotations

import itertools

from raytune_playbook.data.files.csv import CSV
from raytune_playbook.data.files.find import find
from raytune_playbook.data.files.images import IMAGES
from raytune_playbook.data.files.listing import FileFormat, Listing
from raytune_playbook.data.files.numpy import NUMPY
from raytune_playbook.data.files.parquet import PARQUET
from raytune_playbook.errors import DataError, SpecError
from raytune_playbook.study.datasets import Files

FORMATS: dict[str, FileFormat] = {
    each.name: each
    for each in (
        PARQUET,
        CSV,
        NUMPY,
        IMAGES,
    )
}
"""By the name that `Files.format` takes."""


def list_fragments(files: Files) -> Listing:
    """Find the files and look into their headers; the examples are not read.

    Raises:
        SpecError: there is no such format.
        DataError: nothing is found, a file cannot be read, or its columns are not those of the first one.
    """
    if files.format is not None and files.format not in tuple(FORMATS):
        choices = ", ".join(map(repr, (*FORMATS, None)))
        raise SpecError(f"Files.format must be one of {choices}, but got {files.format!r}; correct it.")
    candidates = FORMATS.values() if files.format is None else (FORMATS[files.format],)
    endings = tuple(itertools.chain.from_iterable(each.endings for each in candidates))
    found = find(files.uris, endings, any_ending=files.format is not None)
    file_format = FORMATS[files.format] if files.format is not None else _format_of(found[0].uri)
    others = [file.uri for file in found if files.format is None and _format_of(file.uri) is not file_format]
    if others:
        raise DataError(
            f"Files: all files must be of one format, but {found[0].uri} is {file_format.name} and {others[0]} is not; "
            "name them apart, or give format=."
        )
    return file_format.list_files(found, files)


def _format_of(uri: str) -> FileFormat:
    """What a file's ending says."""
    for each in FORMATS.values():
        if uri.lower().endswith(each.endings):
            return each
    raise DataError(f"Files: a format is needed, but the ending of {uri} tells none; give format=.")
