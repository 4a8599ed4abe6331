"""What one task reads: a row group of a Parquet file, another file, or a few images; listed and read with pyarrow."""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import math
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from raytune_playbook.data.columns import Columns, from_arrow, num_examples
from raytune_playbook.data.files.find import (
    DAMAGED,
    ENDINGS,
    Found,
    UnreadableError,
    filesystem_of,
    find,
    shown,
    unreadable,
)
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files, Format

IMAGES_PER_UNIT = 64
IMAGE_PATH = "path"
NUM_LISTING_THREADS = 16
IMAGE_COLUMNS = ("image", IMAGE_PATH)


@dataclass(frozen=True)
class Unit:
    """The part of the examples that one task reads.

    Fields:
        path: of the file on its filesystem, absolute, since tasks run in other folders; of the first one for images.
        filesystem: a URI that leads to it; empty for this machine's.
        row_group: of a Parquet file.
        num_examples: None where only reading tells.
        num_bytes: an estimate, before any preprocessing.
        more_paths: of the images after the first.
        version: changes when the file does.
    """

    format: Format
    path: str
    filesystem: str
    columns: tuple[str, ...] | None
    row_group: int | None = None
    num_examples: int | None = None
    num_bytes: int = 0
    more_paths: tuple[str, ...] = ()
    version: str = ""

    @property
    def uri(self) -> str:
        """How messages call its file."""
        return shown(self.filesystem, self.path)

    @property
    def name(self) -> str:
        """How messages call it."""
        if self.row_group is not None:
            return f"row group {self.row_group} of {self.uri}"
        return self.uri if not self.more_paths else f"{self.uri} and the {len(self.more_paths)} images after it"

    def read(self) -> Columns:
        """Its examples.

        Raises:
            DataError: it is gone, cut short, corrupt, or holds another number of examples than when it was listed.
        """
        read: dict[Format, Callable[[Unit], Columns]] = {
            "parquet": _read_parquet,
            "csv": _read_csv,
            "numpy": _read_numpy,
            "images": _read_images,
        }
        try:
            columns = read[self.format](self)
        except DAMAGED as error:
            raise unreadable(self.name, error) from None
        if self.num_examples is not None and (found := num_examples(columns)) != self.num_examples:
            raise DataError(
                f"Files must stay as they are while a round runs, but {self.name} held {self.num_examples} examples "
                f"when it began and holds {found} now; restore it, or start another round."
            )
        return columns


@dataclass(frozen=True)
class Listing:
    """All units of a source in the order of their files' names.

    Fields:
        is_remote: whether they lie on another machine.
        skipped: what could not be read and was left out, as the user allowed.
    """

    units: tuple[Unit, ...]
    is_remote: bool
    skipped: tuple[str, ...] = ()

    @property
    def num_examples(self) -> int | None:
        """None where only reading tells."""
        numbers = [unit.num_examples for unit in self.units]
        return None if None in numbers else sum(number or 0 for number in numbers)


def list_units(files: Files) -> Listing:
    """Find the files and look into their headers; the examples are not read.

    Raises:
        DataError: nothing is found, a file cannot be read, or its columns are not those of the first one.
    """
    found = find(files)
    kind = files.format or _format_of(found[0].uri)
    others = [file.uri for file in found if files.format is None and _format_of(file.uri) != kind]
    if others:
        raise DataError(
            f"Files: all files must be of one format, but {found[0].uri} is {kind} and {others[0]} is not; "
            "name them apart, or give format=."
        )
    is_remote = any(file.filesystem for file in found)
    columns = None if files.columns is None else tuple(files.columns)
    skips = files.on_unreadable == "skip"
    if kind == "images":
        return Listing(_image_units(found, columns, one_by_one=skips), is_remote)
    units, skipped, first = [], [], None
    with ThreadPoolExecutor(NUM_LISTING_THREADS) as threads:  # its map begins no more looks once one has raised
        for file, look in zip(found, threads.map(functools.partial(_look, kind, columns), found), strict=True):
            if isinstance(look, UnreadableError):
                if not skips:
                    raise look
                skipped.append(str(look))
                continue
            schema, of_file = look
            if of_file:  # else it has no examples, and whoever wrote it may not have known their types
                first = _require_same(first, schema, file)
            units += of_file
    if not units:
        raise DataError(
            f"Files: examples are needed, but {len(found)} file(s) hold none that can be read, {found[0].uri} first; "
            f"name others. {' '.join(skipped[:1])}".rstrip()
        )
    return Listing(tuple(units), is_remote, tuple(skipped))


def _look(kind: Format, columns: tuple[str, ...] | None, file: Found) -> tuple[Schema, list[Unit]] | UnreadableError:
    """What a file's header says."""
    look = {"parquet": _parquet_units, "numpy": _numpy_unit, "csv": _csv_unit}[kind]
    try:
        schema, units = look(file, columns)
    except DAMAGED as error:
        return unreadable(file.uri, error)
    if not schema:
        raise DataError(f"Files: examples are made of columns, but {file.uri} has none; take it out.")
    return schema, [unit for unit in units if unit.num_examples != 0]


Schema = dict[str, str]
"""Types by column."""


def _require_same(first: tuple[str, Schema] | None, schema: Schema, file: Found) -> tuple[str, Schema]:
    if first is not None and schema != first[1]:
        names = sorted(name for name in schema.keys() | first[1].keys() if schema.get(name) != first[1].get(name))
        name = names[0]
        raise DataError(
            f"All files need the same columns, but {name!r} is {first[1].get(name, 'missing')} in {first[0]} and "
            f"{schema.get(name, 'missing')} in {file.uri}; make them alike, or name the common ones in "
            "Files(columns=...)."
        )
    return first or (file.uri, schema)


def _open(file: Unit | Found, path: str = "") -> pa.NativeFile:
    return filesystem_of(file.filesystem).open_input_file(path or file.path)


def _open_text(file: Unit | Found) -> pa.NativeFile:
    return filesystem_of(file.filesystem).open_input_stream(file.path, compression="detect")


def _format_of(uri: str) -> Format:
    for kind, endings in ENDINGS.items():
        if uri.lower().endswith(endings):
            return kind
    raise DataError(f"Files: a format is needed, but the ending of {uri} tells none; give format=.")


# ---------------------------------------------------------------------- formats


def _parquet_units(file: Found, columns: tuple[str, ...] | None) -> tuple[Schema, list[Unit]]:
    with _open(file) as opened:
        footer = pq.ParquetFile(opened)
        schema, metadata = footer.schema_arrow, footer.metadata
    types = {name: str(schema.field(name).type) for name in schema.names}
    _require_columns(columns, types, file.uri)
    wanted = columns if columns is not None else tuple(types)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # The sizes of single columns are there too, but asking a damaged file for them ends the whole process.
    sizes = [group.total_byte_size * len(wanted) // max(1, len(types)) for group in groups]
    units = [
        Unit("parquet", file.path, file.filesystem, columns, number, group.num_rows, size, version=file.version)
        for number, (group, size) in enumerate(zip(groups, sizes, strict=True))
    ]
    return {name: types[name] for name in wanted}, units


def _require_columns(columns: tuple[str, ...] | None, found: Sequence[str] | Schema, uri: str) -> None:
    missing = [name for name in columns or () if name not in found]
    if missing:
        raise DataError(
            f"Files.columns: each must be in every file, but {uri} has no {missing[0]!r}; it has "
            f"{', '.join(map(repr, found))}."
        )


def _read_parquet(unit: Unit) -> Columns:
    with _open(unit) as opened:
        # Where the writer left checksums, overwritten bytes are found even if they decode to other numbers.
        file = pq.ParquetFile(opened, page_checksum_verification=True)
        table = file.read_row_group(unit.row_group or 0, columns=None if unit.columns is None else list(unit.columns))
    return from_arrow(table, unit.name)


def _csv_unit(file: Found, columns: tuple[str, ...] | None) -> tuple[Schema, list[Unit]]:
    with _open_text(file) as opened:
        schema = pacsv.open_csv(opened).schema
    _require_columns(columns, schema.names, file.uri)
    # Names only: a file's types follow from its first block, where a number may look like another kind of number.
    return dict.fromkeys(columns or schema.names, "there"), [
        Unit("csv", file.path, file.filesystem, columns, num_bytes=file.num_bytes, version=file.version)
    ]


def _read_csv(unit: Unit) -> Columns:
    options = pacsv.ConvertOptions(include_columns=list(unit.columns) if unit.columns else [])
    with _open_text(unit) as opened:
        return from_arrow(pacsv.read_csv(opened, convert_options=options), unit.name)


def _numpy_unit(file: Found, columns: tuple[str, ...] | None) -> tuple[Schema, list[Unit]]:
    with _open(file) as opened:
        headers = _numpy_headers(opened)
    _require_columns(columns, list(headers), file.uri)
    wanted = {name: headers[name] for name in columns or headers}
    rows = {shape[0] if shape else None for shape, _ in wanted.values()}
    if len(rows) != 1 or None in rows:
        shapes = {name: shape for name, (shape, _) in wanted.items()}
        raise DataError(f"All columns must have one length, but those of {file.uri} are of shape {shapes}; correct it.")
    types = {name: f"{dtype}{list(shape[1:])}" for name, (shape, dtype) in wanted.items()}
    total = sum(math.prod(shape) * dtype.itemsize for shape, dtype in wanted.values())
    return types, [
        Unit("numpy", file.path, file.filesystem, columns, None, rows.pop(), num_bytes=total, version=file.version)
    ]


def _numpy_headers(opened: pa.NativeFile) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
    """Shape and dtype of every array, without reading it."""
    if opened.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
        opened.seek(0)
        return {"data": _numpy_header(opened)}
    headers = {}
    with zipfile.ZipFile(opened) as archive:
        for name in archive.namelist():
            with archive.open(name) as array:
                headers[name.removesuffix(".npy")] = _numpy_header(array)
    return headers


def _numpy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, _, dtype = read[npy.read_magic(stream)](stream)
    return shape, dtype


def _read_numpy(unit: Unit) -> Columns:
    with _open(unit) as opened:
        arrays = np.load(io.BytesIO(opened.read()), allow_pickle=False)
    if isinstance(arrays, np.ndarray):
        return {"data": arrays}
    return {name: arrays[name] for name in unit.columns or arrays.files}


def _image_units(files: list[Found], columns: tuple[str, ...] | None, *, one_by_one: bool) -> tuple[Unit, ...]:
    """Several images each, but one where it shall be left out alone if it cannot be read."""
    if importlib.util.find_spec("PIL") is None:
        raise DataError("Files: images need Pillow; install it with `pip install 'raytune-playbook[images]'`.")
    _require_columns(columns, IMAGE_COLUMNS, "what is made of an image")
    size = 1 if one_by_one else IMAGES_PER_UNIT
    alike = [list(group) for _, group in itertools.groupby(files, lambda file: file.filesystem)]
    groups = [group[start : start + size] for group in alike for start in range(0, len(group), size)]
    return tuple(_image_unit(group, columns) for group in groups)


def _image_unit(files: list[Found], columns: tuple[str, ...] | None) -> Unit:
    first, *others = (file.path for file in files)
    size = sum(file.num_bytes for file in files)
    versions = ", ".join(file.version for file in files)
    return Unit("images", first, files[0].filesystem, columns, None, len(files), size, tuple(others), versions)


def _read_images(unit: Unit) -> Columns:
    paths = (unit.path, *unit.more_paths)
    columns = unit.columns or IMAGE_COLUMNS
    read: Columns = {}
    if "image" in columns:
        read["image"] = _together([_image(unit, path) for path in paths])
    if "path" in columns:
        read["path"] = np.array([shown(unit.filesystem, path) for path in paths], dtype=object)
    return read


def _image(unit: Unit, path: str) -> npt.NDArray[np.generic]:
    """Height x width x channels."""
    from PIL import Image  # an extra: who has no images need not install it

    try:
        with _open(unit, path) as opened, Image.open(io.BytesIO(opened.read())) as image:
            # A palette's image holds numbers of colours.
            colours = "RGBA" if "transparency" in image.info else "RGB"
            pixels = np.asarray(image.convert(colours) if image.mode == "P" else image)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise unreadable(shown(unit.filesystem, path), error) from None
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _together(images: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    if len({(image.shape, image.dtype) for image in images}) == 1:
        return np.stack(images)
    ragged = np.empty(len(images), object)
    for number, image in enumerate(images):
        ragged[number] = image
    return ragged
