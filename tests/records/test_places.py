"""What may be named as a place: no credentials in a URI, and nothing outside of the storage."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from raytune_playbook.errors import StorageError
from raytune_playbook.records.places import SCHEMES, credentials_refused, place_refused, uri_in, without_credentials
from raytune_playbook.records.storage import Storage, file_at
from raytune_playbook.records.store import RoundStore

SECRET = "pl4nted"


@pytest.mark.parametrize(
    ("uri", "shown", "variable"),
    [
        (f"s3://id:{SECRET}@bucket/rounds", "s3://***@bucket/rounds", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://id:a%2F{SECRET}@bucket/a?region=eu", "s3://***@bucket/a?region=eu", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://id:a/{SECRET}@bucket/a", "s3://***@bucket/a", "AWS_SECRET_ACCESS_KEY"),  # what pyarrow can't read
        (f"S3://id:{SECRET}@bucket/a", "S3://***@bucket/a", "AWS_ACCESS_KEY_ID"),
        (f"s3://{SECRET}@bucket/a", "s3://***@bucket/a", "AWS_ACCESS_KEY_ID"),  # half of the pair
        (f"s3://b/a?access_key=id&secret_key={SECRET}", "s3://b/a?access_key=***&secret_key=***", "AWS_SESSION_TOKEN"),
        (f"s3://b/a?session_token={SECRET}&region=eu", "s3://b/a?session_token=***&region=eu", "AWS_SESSION_TOKEN"),
        (f"s3://b/a?endpoint_override=http%3A%2F%2Fu:{SECRET}@host:1&scheme=http", "", "AWS_SECRET_ACCESS_KEY"),
        (f"s3://b/a?endpoint_override=u%3A%2F%2Fu%3A{SECRET}%40host", "", "AWS_SECRET_ACCESS_KEY"),
        (f"gs://b/a?access_token={SECRET}", "gs://b/a?access_token=***", "GOOGLE_APPLICATION_CREDENTIALS"),
        (f"abfss://account:{SECRET}@host/container", "abfss://***@host/container", "AZURE_CLIENT_SECRET"),
        (f"abfs://c@account/p?client_id=a&client_secret={SECRET}", "", "AZURE_CLIENT_SECRET"),
        (f"abfs://c@account/p?sv=1&sig={SECRET}", "abfs://c@account/p?sv=1&sig=***", "AZURE_CLIENT_SECRET"),
        (f"hdfs://user:{SECRET}@host:9000/a", "hdfs://***@host:9000/a", "leave them out"),
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_shown(uri, shown, variable):
    with pytest.raises(StorageError, match=r"Storage: Credentials come from the environment") as caught:
        Storage(uri)
    assert SECRET not in str(caught.value)
    assert (shown or without_credentials(uri)) in str(caught.value)
    assert variable in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        *("rounds", "/a/b:c@d", "~/rounds", "file:///a/b:c@d"),
        *("s3://bucket/a@b:c", "s3://bucket/rounds?region=eu-west-1&scheme=http&endpoint_override=localhost:9000"),
        *("gs://anonymous@bucket/a", "abfs://container@account.dfs.core.windows.net/a", "hdfs://user@host:9000/a"),
        *("hdfs://host:9000/a@b", "s3://monkeys/keys/token?region=eu"),
    ],
)
def test_what_holds_no_credentials_is_taken_as_it_is(uri):
    assert credentials_refused(uri) is None
    assert without_credentials(uri) == uri


NO_PLACES = [
    *("foo://x", "://x", "S3://bucket/x", "http://host/x", "az://container/x"),
    *(
        "s3://",
        "s3:///x",
        "s3://?region=eu",
        "gs://",
        "gs:///x",
        "gcs://",
        "abfs://",
        "abfss:///x",
        "gs://anonymous@/x",
    ),
    *("", " ", "\t\n", "a\0b", "a\udc80"),
]


@pytest.mark.parametrize("uri", NO_PLACES)
def test_what_no_filesystem_can_read_is_refused_by_a_look(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refusal = place_refused(uri)
    assert refusal is not None and refusal.count(repr(uri)) == 1 and "\n" not in refusal
    with pytest.raises(StorageError) as caught:
        Storage(uri)
    assert str(caught.value) == f"Storage: {refusal}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "uri",
    [
        "rounds",
        ".",
        "a b",
        "s3:b",
        *(f"{scheme}://bucket" for scheme in SCHEMES),
        "s3://b?region=eu",
        "gs://anonymous@b",
    ],
)
def test_what_a_filesystem_may_read_passes(uri):
    assert place_refused(uri) is None


def test_the_schemes_are_those_that_pyarrow_knows():
    for scheme in (*SCHEMES, "az", "http", "S3", "wasb", "ftp"):
        unknown = ""
        try:
            pafs.FileSystem.from_uri(f"{scheme}://")
        except (pa.ArrowInvalid, OSError, ImportError) as error:
            unknown = str(error)
        assert ("Unrecognized filesystem type" in unknown) == (scheme not in SCHEMES), (scheme, unknown)


def test_pyarrow_reads_the_keys_of_s3_from_the_variables_that_are_named(monkeypatch, s3_endpoint):
    """What the sentence tells to do works; the server takes any keys, and says of which a request was signed."""
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": s3_endpoint}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    pafs.S3FileSystem(endpoint_override=s3_endpoint, region="us-east-1", allow_bucket_creation=True).create_dir("keys")
    storage = Storage("s3://keys/rounds?region=us-east-1")
    storage.write("a/b", b"content")
    assert storage.read("a/b") == b"content"


# ---------------------------------------------------------------------- paths

OUTSIDE = ["../x", "a/../../x", "/etc/x", "..", "a/..", "a\0b", "a/\0"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out_of_any_storage(any_storage, path):
    storage = any_storage()
    storage.write("a/x", b"mine")
    doors = (
        storage.read,
        storage.delete,
        storage.files,
        storage.sizes,
        storage.folders,
        lambda path: storage.write(path, b"other"),
        lambda path: storage.opened(path).__enter__(),
    )
    for door in doors:
        with pytest.raises(StorageError, match="lies in it, but got") as caught:
            door(path)
        assert "\n" not in str(caught.value)
    assert storage.read("a/x") == b"mine"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the storage, with a file."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"not ours")
    return folder


def test_links_below_the_storages_folders_do_not_lead_out(created, outside):
    """Whoever can write a shared storage could have whoever reads it show, change or delete files of his own."""
    home = Path(created.storage.root) / "round"
    (home / "notes.md").unlink()
    (home / "notes.md").symlink_to(outside / "file")
    (home / "logs").symlink_to(outside)
    (home / "scores").symlink_to(Path("..") / ".." / "outside")
    storage = created.storage
    doors = {
        "round/notes.md": [created.notes, lambda: storage.read("round/notes.md")],
        "round/logs": [
            lambda: storage.files("round/logs"),
            lambda: storage.write("round/logs/file", b"changed"),
            lambda: storage.write("round/logs/new", b"added"),
            lambda: storage.delete("round/logs/file"),
            lambda: storage.folders("round/logs"),
        ],
        "round/scores/file": [lambda: storage.read("round/scores/file")],
    }
    for path, each in doors.items():
        for door in each:
            with pytest.raises(StorageError, match=f"may not lead out of the storage, but '{path}' is at '{outside}"):
                door()
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("file", b"not ours")]
    created.write_notes("Mine.")  # takes the place of the link
    assert (outside / "file").read_bytes() == b"not ours"
    assert created.notes() == "Mine."


def test_links_that_stay_inside_or_are_a_whole_round_or_storage_are_followed(created, tmp_path):
    root = Path(created.storage.root)
    (root / "round" / "more.md").symlink_to("notes.md")
    assert created.storage.read("round/more.md") == b"A note."
    (tmp_path / "disk").mkdir()
    (root / "round").rename(tmp_path / "disk" / "round")
    (root / "round").symlink_to(tmp_path / "disk" / "round")
    (tmp_path / "linked").symlink_to(root)
    for storage in (created.storage, Storage(str(tmp_path / "linked"))):
        store = RoundStore(storage, "round")
        assert [study.name for study in store.studies()] == store.round().studies
        assert store.notes() == "A note."
        store.write_notes("A note.")


@pytest.mark.parametrize("name", ["", ".", "..", "../round", "/round", "a/b", "round\0", "round/"])
def test_a_rounds_name_is_that_of_a_folder(created, name):
    with pytest.raises(StorageError, match="A round's name is that of its folder") as caught:
        RoundStore(created.storage, name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("study", ["..", "../../outside", "/etc", "a/b", "", "a\0b"])
def test_names_of_studies_in_records_are_those_of_folders(created, study):
    path = Path(created.storage.root) / "round" / "round.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"studies": [study]}))
    for door in (created.round, created.studies, created.trials, lambda: created.trial_id("0")):
        with pytest.raises(StorageError, match=r"a study is named after its folder, and not"):
            door()


def test_a_study_is_called_as_its_folder_is(created):
    path = Path(created.storage.root) / "round" / "activation=relu" / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "../../outside"}))
    with pytest.raises(StorageError, match=r"activation=relu/study.json .* must hold a StudySpec, .*'../../outside'"):
        created.studies()


@pytest.mark.parametrize("index", ["²", "٣", "9" * 5000, "-1", "1.r²", "0/..", "0\0", "+1", " 1", "1_0"])
def test_a_trials_index_is_a_number(created, index):
    with pytest.raises(StorageError) as caught:
        created.trial_id(f"activation=relu/{index}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "rounds/", "rounds/..", "..", "s3://bucket/", "/", "a\0"])
def test_a_file_has_a_name(path):
    with pytest.raises(StorageError, match="A file's path or URI is needed"):
        file_at(path)


@pytest.mark.parametrize(
    ("uri", "inside"),
    [
        ("/shared/rounds", "/shared/rounds/a/b"),
        ("/shared/who?", "/shared/who?/a/b"),
        ("s3://bucket/rounds/", "s3://bucket/rounds/a/b"),
        ("s3://bucket/rounds?region=eu&scheme=http", "s3://bucket/rounds/a/b?region=eu&scheme=http"),
    ],
)
def test_what_is_in_a_folder_has_its_query(uri, inside):
    assert uri_in(uri, "a/b") == inside


def test_whoever_has_a_rounds_uri_alone_opens_its_folder(any_storage):
    store = RoundStore(any_storage(), "round")
    store.storage.write("round/file", b"content")
    if store.storage.uri.startswith("/"):
        assert store.uri == f"{store.storage.uri}/round"
    assert Storage(store.uri).read("file") == b"content"
