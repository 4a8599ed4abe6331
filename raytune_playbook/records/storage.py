"""A storage: a folder on any pyarrow filesystem, whose files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raytune_playbook.errors import StorageAwayError, StorageError, StorageFailure
from raytune_playbook.records.places import is_inside, is_name, place_refused, uri_in
from raytune_playbook.records.retries import passes, patient, tried


class Storage:
    """A folder on a pyarrow filesystem: ``Storage("rounds")``, ``Storage("s3://bucket/rounds")``.

    Raises:
        StorageError: the URI cannot be understood or reached, or holds credentials.

    What fails in a way that passes by itself is tried again (`raytune_playbook.records.retries`).

    Every method refuses a path that leads out of the storage: one with ``..`` in it, an absolute one, or on a local
    storage one through a link below the storage's own folders that does.
    """

    def __init__(self, uri: str) -> None:
        if (refusal := place_refused(uri)) is not None:
            raise StorageError(f"Storage: {refusal}")
        try:
            self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())
            fs, root = pafs.FileSystem.from_uri(self.uri)
            self.fs = patient(fs)
            self.root = root.rstrip("/") or root  # some filesystems take no path with two slashes
            if self.local_path is not None:
                self.local_path.exists()  # which a name that is too long, or a folder that is closed, has no answer to
        except (pa.ArrowInvalid, OSError, ValueError, RuntimeError, ImportError) as error:
            # RuntimeError: ~ of an unknown user; ImportError: a filesystem in a package that is not installed.
            # An object store may be asked where a bucket is.
            raise (StorageAwayError if isinstance(error, OSError) else StorageError)(
                f"Storage: a folder's path or a URI that pyarrow knows is needed, but got {uri!r} "
                f"({first_line(error)}); correct it."
            ) from None
        if isinstance(self.fs, pafs.SubTreeFileSystem):
            raise StorageError(f"Storage: a plain filesystem is needed, but got {uri!r}; name the folder itself.")

    @property
    def local_path(self) -> Path | None:
        """The folder's path on this machine, or None for a remote storage."""
        return Path(self.root) if isinstance(self.fs, pafs.LocalFileSystem) else None

    def check_writable(self) -> None:
        """Write and delete a probe, leaving no trace.

        Raises:
            StorageError: it cannot be written.
        """
        created = self.missing_folders()
        probe = f"{self.root}/.probe-{uuid.uuid4().hex}"
        try:
            tried(lambda: self._write(probe, b"probe"))
            with contextlib.suppress(FileNotFoundError):  # it was done, and the answer was lost
                tried(lambda: self.fs.delete_file(probe))
        except OSError as error:
            with contextlib.suppress(OSError):
                self.fs.delete_file(probe)
            raise StorageAwayError(
                f"Storage: it must be writable, but {self.uri!r} is not ({_why(error)}); give another with --storage."
            ) from None
        finally:
            for folder in created:
                folder.rmdir() if folder.exists() and not any(folder.iterdir()) else None

    def require_there(self) -> None:
        """Refuse a storage of which nothing is there, with one request.

        Raises:
            StorageError: there is no such folder.
        """
        try:
            is_there = tried(lambda: self.fs.get_file_info(self.root)).type == pafs.FileType.Directory
        except OSError as error:
            raise StorageAwayError(
                f"Storage: {self.uri!r} cannot be read ({first_line(error)}); allow access, or name another."
            ) from None
        if not is_there:
            raise StorageError(f"Storage: a folder of rounds is needed, but there is no {self.uri!r}; correct it.")

    def uri_of(self, path: str) -> str:
        """How a file or folder in it is named from anywhere."""
        return uri_in(self.uri, path)

    def missing_folders(self) -> list[Path]:
        """What of a local storage's path is not there, the innermost first."""
        path = self.local_path
        return [folder for folder in [path, *path.parents] if not folder.exists()] if path else []

    def place(self, path: str) -> str:
        """Where a file or folder is on the filesystem.

        Raises:
            StorageError: that would be outside of the storage.
        """
        place = f"{self.root}/{path}" if path else self.root
        if path and not is_inside(path):
            raise StorageError(f"Storage: what is named in {self.uri!r} lies in it, but got {path!r}; correct it.")
        if path and self.local_path is not None and not self._leads_inside(path, place):
            raise StorageError(
                f"Storage: a link in a folder of {self.uri!r} may not lead out of the storage, but {path!r} is at "
                f"{os.path.realpath(place)!r}; put the files themselves there, or move the whole folder and link that."
            )
        return place

    def _leads_inside(self, path: str, place: str) -> bool:
        """Whether links lead to nothing but what is in the storage, or in one folder of it, which may be a link."""
        real = os.path.realpath(place)
        if real == place:
            return True
        homes = (os.path.realpath(self.root), os.path.realpath(f"{self.root}/{path.partition('/')[0]}"))
        return any(real == home or real.startswith(f"{home.rstrip('/')}/") for home in homes)

    def _parent(self, path: str) -> str:
        """The folder that a path leads to the last part of: what is written or deleted there is no link's target."""
        self.place(path.rpartition("/")[0])
        if not is_inside(path):
            self.place(path)
        return f"{self.root}/{path}"

    def write(self, path: str, content: bytes) -> None:
        """Write one file whole or not at all."""
        target = self._parent(path)
        with self.failures_told("written", path):
            tried(lambda: self._write(target, content))

    def _write(self, target: str, content: bytes) -> None:
        folder, _, name = target.rpartition("/")
        self.fs.create_dir(folder, recursive=True)
        if self.local_path is None:
            with self.fs.open_output_stream(target) as stream:  # an object store's put is atomic, in parts as well
                stream.write(content)
            return
        # The dot hides what a crash may leave behind from whoever reads the folder as one data set.
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        try:
            with self.fs.open_output_stream(temporary) as stream:
                stream.write(content)
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def read(self, path: str) -> bytes | None:
        """A file's content, or None where there is none."""
        place = self.place(path)
        with self.failures_told("read", path):
            try:
                return tried(lambda: self._read(place))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _read(self, place: str) -> bytes:
        with self.fs.open_input_file(place) as file:  # of an object store one request, and no stream of small ones
            return bytes(file.read())

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[pa.NativeFile]:
        """A file of which parts are to be read.

        Raises:
            FileNotFoundError: it is not there.
        """
        place = self.place(path)
        with tried(lambda: self.fs.open_input_file(place)) as file:
            yield file

    def delete(self, path: str) -> None:
        """Delete one file if it is there."""
        place = self._parent(path)
        with self.failures_told("deleted", path), contextlib.suppress(FileNotFoundError):
            tried(lambda: self.fs.delete_file(place))

    def delete_folder(self, path: str) -> None:
        """Delete a folder with all that is in it, if it is there."""
        place = self._parent(path)
        with self.failures_told("deleted", path), contextlib.suppress(FileNotFoundError):
            tried(lambda: self.fs.delete_dir(place))

    def free_bytes(self) -> int | None:
        """The room that is left on the disk of a local storage; None where that cannot be asked."""
        path = self.local_path
        there = next((folder for folder in [path, *path.parents] if folder.exists()), None) if path else None
        return shutil.disk_usage(there).free if there else None

    @contextlib.contextmanager
    def failures_told(self, what: str, path: str) -> Iterator[None]:
        """Within it an `OSError` becomes a sentence.

        Raises:
            StorageFailure: something in the storage cannot be, say, ``written``.
        """
        try:
            yield
        except StorageFailure:
            raise
        except pa.ArrowInvalid as error:  # a path that the filesystem has no place for
            raise StorageFailure(
                f"Storage: {self.uri_of(path)} cannot be {what} ({first_line(error)}); name another storage."
            ) from error
        except OSError as error:
            why = _why(error)
            advice = "make room there, or allow access"
            if error.errno in (errno.ENOTDIR, errno.EEXIST):
                advice = "a file is in the way, so name a folder"
            elif passes(error):
                why, advice = f"{why}, again and again", "see that it answers"
            raise StorageFailure(f"Storage: {self.uri_of(path)} cannot be {what} ({why}); {advice}.") from error

    def files(self, folder: str) -> list[str]:
        """Names of the files directly in a folder, sorted; empty where there is no such folder."""
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """Numbers of bytes of the files directly in a folder by their names, sorted."""
        return dict(
            sorted((info.base_name, info.size) for info in self.infos(folder) if info.type == pafs.FileType.File)
        )

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in a folder of the storage, or in itself, sorted."""
        return sorted(info.base_name for info in self.infos(folder) if info.type == pafs.FileType.Directory)

    def infos(self, folder: str, *, recursive: bool = False) -> list[pafs.FileInfo]:
        """What there is in a folder; nothing where there is no such folder."""
        selector = pafs.FileSelector(self.place(folder), allow_not_found=True, recursive=recursive)
        with self.failures_told("listed", folder):
            try:
                return list(tried(lambda: self.fs.get_file_info(selector)))
            except FileNotFoundError:  # it came or went between pyarrow's two looks
                return []


def file_at(path: str) -> tuple[Storage, str]:
    """A file by its path or URI: the folder that it lies in, and its name.

    Raises:
        StorageError: it names a folder, or its folder cannot be understood or reached.
    """
    place, mark, options = path.partition("?") if "://" in path else (path, "", "")
    folder, _, name = place.rpartition("/")
    if not is_name(name):
        raise StorageError(f"A file's path or URI is needed, but {path!r} names a folder; add the file's name.")
    return Storage(f"{folder}{mark}{options}" or ("/" if path.startswith("/") else ".")), name


def refuse_other_file(path: str, is_earlier: Callable[[bytes], bool], what: str) -> None:
    """What is exported replaces what was exported before, and no other file: it may be somebody's job or data.

    Args:
        path: path or URI that a user names.
        is_earlier: whether a content is such an export.
        what: is exported, in the plural.

    Raises:
        StorageError: another file is there.
    """
    storage, name = file_at(path)
    content = storage.read(name)
    if content is not None and not is_earlier(content):
        raise StorageError(f"Only {what} written before may be replaced, but {path!r} holds none; name another file.")


def has_columns(*first: str) -> Callable[[bytes], bool]:
    """Whether a content is a Parquet or CSV table that begins with these columns."""

    def is_such(content: bytes) -> bool:
        if content.startswith(b"PAR1"):
            with contextlib.suppress(pa.ArrowException, OSError):
                return bool(pq.read_schema(pa.BufferReader(content)).names[: len(first)] == list(first))
        return content.split(b"\n", 1)[0].replace(b'"', b"").split(b",")[: len(first)] == [n.encode() for n in first]

    return is_such


def _why(error: OSError) -> str:
    return first_line(error) if error.errno is None else os.strerror(error.errno)


def first_line(error: Exception) -> str:
    """What an error says, short enough for a sentence."""
    return str(error).partition("\n")[0][:200]
