"""Job files with something wrong in their text: a sentence, or a round."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytune_playbook import Round
from raytune_playbook.engine.jobs.job_file import load_job
from tests.fuzz.inputs import damaged_bytes, mutated_text, only_sentences

JOBS = Path(__file__).parents[2] / "jobs"


def without_a_run(text: str) -> str:
    """A mutated condition must not start a round."""
    return text.partition("if __name__")[0]


TEXTS = [text for path in sorted(JOBS.glob("*.py")) if "# %%" not in (text := without_a_run(path.read_text()))]
"""A notebook's cells are no job: they run a round themselves."""


@given(
    content=st.sampled_from(TEXTS).flatmap(
        lambda text: st.one_of(
            *[mutated_text(text).map(lambda changed: changed.encode(errors="surrogatepass"))] * 5,
            damaged_bytes(text.encode()),
        )
    )
)
def test_a_job_file_is_refused_in_a_sentence_or_holds_a_round(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    job = tmp_path_factory.getbasetemp() / "fuzzed_job.py"
    job.write_bytes(content)
    paths = sys.path[:]
    try:
        with only_sentences():
            assert isinstance(load_job(str(job)).round, Round)
    finally:
        sys.path[:] = paths
        sys.modules.pop("job_fuzzed_job", None)
