"""A page's plots as files."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from raytune_playbook.cli import main
from raytune_playbook.errors import InputError
from raytune_playbook.report.page.page import read_insight
from raytune_playbook.report.static import write_static

needs_chromium = pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), reason="needs Chromium to draw plots"
)


@needs_chromium
def test_every_plot_is_a_png_and_an_svg(make_round, tmp_path, capsys):
    pytest.importorskip("kaleido", reason="needs kaleido to draw plots to files")
    store = make_round(arms=[{}], trials_per_arm=2, space={})
    folder = tmp_path / "plots"
    code = main(["report", store.name, "--storage", store.storage.uri, "--static", str(folder), "--over", "last"])
    assert code == 0
    names = {path.stem for path in folder.glob("*.svg")}
    assert {"curves-0", "best-so-far", "best-steps"} <= names
    assert {path.stem for path in folder.glob("*.png")} == names
    assert f"{2 * len(names)} files in {folder}" in capsys.readouterr().out
    for name in names:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        svg = ElementTree.parse(folder / f"{name}.svg").getroot()
        assert svg.tag.endswith("svg") and len(list(svg.iter())) > 20


def test_without_kaleido_there_is_one_sentence(mixed_round, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(InputError, match=r"kaleido, which is not installed; run pip install kaleido"):
        write_static(read_insight(mixed_round), tmp_path)


def test_without_a_browser_there_is_one_sentence_and_exit_code_2(mixed_round, tmp_path, monkeypatch, capsys):
    pytest.importorskip("kaleido", reason="needs kaleido to draw plots to files")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "absent"))
    monkeypatch.setenv("PATH", "")
    storage = mixed_round.storage.uri
    assert main(["report", mixed_round.name, "--storage", storage, "--static", str(tmp_path / "plots")]) == 2
    said = capsys.readouterr().err
    assert "in a Chromium or Chrome on this machine, but none could be started" in said
    assert said.count("\n") == 1


def test_plots_are_not_written_into_a_file(mixed_round, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    storage = mixed_round.storage.uri
    for folder in ("file", "file/below"):
        assert main(["report", mixed_round.name, "--storage", storage, "--static", str(tmp_path / folder)]) == 2
        said = capsys.readouterr().err
        assert f"Plots are written into a folder, but '{tmp_path}/{folder}' cannot be one" in said
        assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "in the way"
