"""NumPy: a fragment is a file, ``.npz`` with an array for each column, or ``.npy``, whose column is called ``data``.

Of an ``.npz`` only the arrays of the wanted columns are read.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.lib.format as npy
import pyarrow as pa

from raytune_playbook.data.columns import Array, Columns
from raytune_playbook.data.files.find import File
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import Header, require_columns, with_headers
from raytune_playbook.errors import DataError

ONLY_COLUMN = "data"
"""Of an ``.npy``."""

SUFFIX = ".npy"
"""Of an array's name within an ``.npz``."""


@dataclass(frozen=True)
class NumpyFile(Fragment):
    """A file."""

    def _read(self) -> Columns:
        with self.file.open() as opened:
            # As few requests as can be, where they take long: one for all, or one for each column.
            if _is_npy(opened):
                return {ONLY_COLUMN: _array(io.BytesIO(opened.read()))}
            if self.columns is None:
                with zipfile.ZipFile(io.BytesIO(opened.read())) as archive:
                    return {name: _array(archive.open(member)) for name, member in _members(archive).items()}
            with zipfile.ZipFile(opened) as archive:
                members = _members(archive)
                return {name: _array(io.BytesIO(archive.read(members[name]))) for name in self.columns}


def _members(archive: zipfile.ZipFile) -> Mapping[str, str]:
    """What holds each array of an ``.npz``."""
    return {member.removesuffix(SUFFIX): member for member in archive.namelist()}


def _is_npy(opened: pa.NativeFile) -> bool:
    prefix = opened.read(len(npy.MAGIC_PREFIX))
    opened.seek(0)
    return bool(prefix == npy.MAGIC_PREFIX)


def _array(opened: IO[bytes]) -> Array:
    array: Array = npy.read_array(opened, allow_pickle=False)
    return array


@dataclass(frozen=True)
class _ArrayHeader:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_header(file: File, columns: tuple[str, ...] | None) -> Header:
    with file.open() as opened:
        headers = _array_headers(opened)
    require_columns(columns, headers, file.uri)
    wanted = {name: headers[name] for name in columns or headers}
    rows = {header.shape[0] if header.shape else None for header in wanted.values()}
    if len(rows) != 1 or None in rows:
        shapes = {name: header.shape for name, header in wanted.items()}
        raise DataError(f"All columns must have one length, but those of {file.uri} are of shape {shapes}; correct it.")
    types = {name: f"{header.dtype}{list(header.shape[1:])}" for name, header in wanted.items()}
    size = sum(header.num_bytes for header in wanted.values())
    return Header(types, (NumpyFile((file,), columns, num_examples=rows.pop(), num_bytes=size),))


def _array_headers(opened: pa.NativeFile) -> Mapping[str, _ArrayHeader]:
    """Of every array, without reading it."""
    if _is_npy(opened):
        return {ONLY_COLUMN: _array_header(opened)}
    headers = {}
    with zipfile.ZipFile(opened) as archive:
        for name, member in _members(archive).items():
            with archive.open(member) as array:
                headers[name] = _array_header(array)
    return headers


def _array_header(opened: IO[bytes]) -> _ArrayHeader:
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, _, dtype = read[npy.read_magic(opened)](opened)
    return _ArrayHeader(shape, dtype)


NUMPY = with_headers("numpy", (".npz", ".npy"), _read_header)
