"""Files of every format with known examples, for the tests of reading them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from PIL import Image

from raytune_playbook.data.columns import Columns, concatenated
from raytune_playbook.data.files.listing import Listing

"""Examples of a file."""

NUM = 20


def columns(first: int = 0, num: int = NUM) -> Columns:
    row = np.arange(first, first + num)
    return {"row": row, "x": row / 4, "name": np.array([f"e{each}" for each in row], dtype=object)}


def write(path: Path, first: int = 0, num: int = NUM, **changes: object) -> Path:
    """A file of the format that its ending tells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = columns(first, num) | changes
    match path.suffix:
        case ".parquet":
            table = pa.table(given)
            pq.write_table(
                table, path, row_group_size=8, compression="none", use_dictionary=False, write_page_checksum=True
            )
        case ".npz":
            np.savez_compressed(path, **{name: values for name, values in given.items() if name != "name"})
        case ".npy":
            np.save(path, given["x"])
        case ".csv":
            pacsv.write_csv(pa.table(given), path)
        case ".gz":
            plain = write(path.with_suffix(""), first, num, **changes)
            path.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()
    return path


def picture(path: Path, size: tuple[int, int] = (4, 3), mode: str = "RGB", value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if len(mode) == 1 else (value,) * len(mode)).save(path)
    return path


def names(listing: Listing) -> list[str]:
    return [Path(path).name for fragment in listing.fragments for path in (file.path for file in fragment.files)]


def rows(listing: Listing) -> list[int]:
    return concatenated([{"row": fragment.read()["row"]} for fragment in listing.fragments])["row"].tolist()


def files_in(folder: Path, ending: str, num_files: int = 3) -> Path:
    for number in range(num_files):
        write(folder / f"part-{number}.{ending}", NUM * number)
    return folder
