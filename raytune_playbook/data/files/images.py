"""Images: an example is a file, and a fragment is a few of them; they have no header that says how many there are."""

from __future__ import annotations

import importlib.util
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raytune_playbook.data.columns import Array, Columns
from raytune_playbook.data.files.find import DAMAGED, File, unreadable
from raytune_playbook.data.files.fragments import Fragment
from raytune_playbook.data.files.listing import FileFormat, Listing, require_columns, wanted_columns
from raytune_playbook.errors import DataError
from raytune_playbook.study.datasets import Files

IMAGES_PER_FRAGMENT = 64
IMAGE, IMAGE_PATH = "image", "path"
IMAGE_COLUMNS = (IMAGE, IMAGE_PATH)


@dataclass(frozen=True)
class ImageFiles(Fragment):
    """Some images, of height x width x channels; they are opened only where the column `IMAGE` is wanted."""

    @property
    def name(self) -> str:
        """How messages call it."""
        num_others = len(self.files) - 1
        return f"{self.file.uri} and the {num_others} images after it" if num_others else self.file.uri

    def place(self, row: int) -> str:
        """How messages call the place of an image."""
        return self.files[row].uri

    def _read(self) -> Columns:
        columns = self.columns or IMAGE_COLUMNS
        read: dict[str, Array] = {}
        if IMAGE in columns:
            read[IMAGE] = _stacked([_image(file) for file in self.files])
        if IMAGE_PATH in columns:
            read[IMAGE_PATH] = np.array([file.uri for file in self.files], dtype=object)
        return read


def _image(file: File) -> Array:
    """Height x width x channels."""
    from PIL import Image  # an extra: who has no images need not install it

    try:
        with file.open() as opened, Image.open(io.BytesIO(opened.read())) as image:
            # A palette's image holds numbers of colours.
            colours = "RGBA" if "transparency" in image.info else "RGB"
            pixels = np.asarray(image.convert(colours) if image.mode == "P" else image)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise unreadable(file.uri, error) from None
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _stacked(images: list[Array]) -> Array:
    """One array, of objects where the images differ in shape or type."""
    if len({(image.shape, image.dtype) for image in images}) == 1:
        return np.stack(images)
    ragged = np.empty(len(images), object)
    for number, image in enumerate(images):
        ragged[number] = image
    return ragged


def _list_files(files: Sequence[File], wanted: Files) -> Listing:
    """Several images to a fragment, but one where it shall be left out alone if it cannot be read."""
    if importlib.util.find_spec("PIL") is None:
        raise DataError("Files: images need Pillow; install it with `pip install pillow`.")
    columns = wanted_columns(wanted)
    require_columns(columns, IMAGE_COLUMNS, "what is made of an image")
    size = 1 if wanted.on_unreadable == "skip" else IMAGES_PER_FRAGMENT
    alike = [tuple(group) for _, group in itertools.groupby(files, lambda file: file.filesystem)]
    groups = [group[start : start + size] for group in alike for start in range(0, len(group), size)]
    return Listing("images", tuple(_fragment(group, columns) for group in groups))


def _fragment(files: tuple[File, ...], columns: tuple[str, ...] | None) -> ImageFiles:
    return ImageFiles(files, columns, num_examples=len(files), num_bytes=sum(file.num_bytes for file in files))


IMAGES = FileFormat("images", (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"), _list_files)
