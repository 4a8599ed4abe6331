"""What travels with a submitted job."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytune_playbook.errors import SubmissionError
from raytune_playbook.submission.staging import MAX_SHIPPED_BYTES, stage_job, stage_package
from raytune_playbook.submission.submit import Job


class TestShipping:
    def test_only_python_files_beside_the_job_travel(self, job: Path, tmp_path: Path) -> None:
        folder = job.parent
        for stray in ("data/big.py", "helpers/__pycache__/old.py", ".hidden.py", ".venv/__init__.py", "helpers/a.csv"):
            (folder / stray).parent.mkdir(parents=True, exist_ok=True)
            (folder / stray).write_text("")
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(job, staged) == "tiny.py"
        found = sorted(str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file())
        assert found == ["beside.py", "helpers/__init__.py", "tiny.py"]

    def test_a_package_travels_whole_with_a_job_that_is_part_of_it(self, tmp_path: Path) -> None:
        inner = tmp_path / "apart" / "package" / "inner"
        (inner.parent / "other").mkdir(parents=True)
        inner.mkdir()
        names = ["__init__", "inner/__init__", "inner/job", "inner/layers", "other/__init__", "sizes"]
        for name in ("../not_of_it", *names):
            (inner.parent / f"{name}.py").touch()
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(inner / "job.py", staged) == "package/inner/job.py"
        assert "package/inner/job.py" in Job(inner / "job.py", "/nowhere").command
        found = sorted(str(path.relative_to(staged / "package")) for path in staged.rglob("*.py"))
        assert found == [f"{name}.py" for name in names]

    def test_too_much_is_one_sentence(self, job: Path, tmp_path: Path) -> None:
        (job.parent / "generated.py").write_text("#" * 5000)
        staged = tmp_path / "staged"
        staged.mkdir()
        with pytest.raises(SubmissionError, match=r"may hold 4,000 bytes.*folder of their own"):
            stage_job(job, staged, max_bytes=4000)

    def test_a_package_that_is_too_large_does_not_travel_either(self, tmp_path: Path) -> None:
        (jobs := tmp_path / "package" / "jobs").mkdir(parents=True)
        for folder in (jobs, jobs.parent):
            (folder / "__init__.py").touch()
        (jobs / "job.py").touch()
        (jobs.parent / "table.py").write_bytes(b"#" * (MAX_SHIPPED_BYTES + 1))
        staged = tmp_path / "staged"
        staged.mkdir()
        with pytest.raises(SubmissionError, match=rf"may hold 10,000,000 bytes, but those of {jobs.parent} hold more"):
            stage_job(jobs / "job.py", staged)
        assert not (staged / "package" / "table.py").exists()

    def test_a_link_keeps_the_name_given(self, job: Path, tmp_path: Path) -> None:
        link = tmp_path / "today.py"
        link.symlink_to(job)
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(link, staged) == "today.py"
        assert (staged / "today.py").read_text() == job.read_text()

    def test_the_package_is_whole_and_without_leftovers(self, tmp_path: Path) -> None:
        package = stage_package(tmp_path)
        assert package == tmp_path / "raytune_playbook"
        assert (package / "submission" / "staging.py").is_file()
        assert not list(package.rglob("__pycache__"))

    def test_a_path_from_home_is_found(self, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(job.parent))
        staged = tmp_path / "staged"
        staged.mkdir()
        assert stage_job(Path("~/tiny.py"), staged) == "tiny.py"
        assert (staged / "tiny.py").read_bytes() == job.read_bytes()
