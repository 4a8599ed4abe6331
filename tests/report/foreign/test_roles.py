"""What is said of trials, by a file and by options."""

from __future__ import annotations

import pytest

from raytune_playbook.errors import SpecError
from raytune_playbook.report.foreign import roles as module
from raytune_playbook.report.foreign.roles import Roles, read_roles
from raytune_playbook.study.hyperparameters.hyperparameter import Discrete, Float, Int


@pytest.fixture
def documented(tmp_path):
    """The file that the module's head shows."""
    text = module.__doc__.partition("::\n\n")[2]
    file = tmp_path / "roles.toml"
    file.write_text(text)
    return file


def test_the_documented_file_is_read(documented):
    roles = read_roles(documented)
    assert roles.scientific == ("optimizer",)
    assert (roles.direction, roles.validation_examples, roles.fixed) == ("minimize", 352, {"dataset": "digits"})
    ranges = {name: range_.hyperparameter() for name, range_ in roles.ranges.items()}
    assert ranges == {"learning_rate": Float(1e-4, 1.0, scale="log"), "depth": Discrete([2, 4, 8])}


def test_options_go_before_the_file_and_say_nothing_where_they_are_empty(documented):
    roles = read_roles(documented, objective="val_loss", scientific=(), maximize=None, ignore="b")
    assert (roles.objective, roles.scientific, roles.maximize, roles.ignore) == (
        "val_loss",
        ("optimizer",),
        False,
        ("b",),
    )


def test_ranges_are_given_in_the_package_s_own_terms_too():
    roles = read_roles(None, ranges={"depth": Int(1, 8), "width": Discrete([4, 8])})
    assert roles.ranges["depth"].hyperparameter() == Int(1, 8)
    assert roles.ranges["width"].hyperparameter() == Discrete([4, 8])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("objektive = 'loss'", "Roles has no field 'objektive'"),
        ("scientific = 3", "Roles.scientific: "),
        ("over = 'mean'", "Roles.over: "),
        ("[ranges]\nlr = 3", "ranges.lr: a range is written"),
        ("[ranges]\nlr = {low = 1.0}", "ranges.lr: A range of a hyperparameter has low and high, or values"),
        ("[ranges]\nlr = {low = 1.0, hight = 2.0}", "ranges.lr: RangeSpec has no field 'hight'"),
        ("[ranges]\nlr = {low = 2.0, high = 1.0}", "ranges.lr: Float: low < high must hold"),
        ("[ranges]\nlr = {low = 0.0, high = 1.0, scale = 'log'}", "ranges.lr: Float: a log scale needs low > 0"),
        ("[ranges]\nlr = {low = 1, high = 2, values = [1]}", "ranges.lr: A range of a hyperparameter"),
        ("scientific = ['lr']\nignore = ['lr']", "'lr' stands in scientific and in ignore"),
        ("scientific = [", "is none ("),
        ("validation_examples = 0", "Roles.validation_examples: "),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(tmp_path, text, sentence):
    (tmp_path / "roles.toml").write_text(text)
    with pytest.raises(SpecError) as error:
        read_roles(tmp_path / "roles.toml")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"cannot be read \(No such file or directory\)"):
        read_roles(tmp_path / "roles.toml")


def test_a_role_of_an_unknown_hyperparameter_names_the_closest():
    with pytest.raises(
        SpecError, match=r"'lerning_rate' is none of those recorded in a\.csv; did you mean 'learning_rate'\?"
    ):
        Roles(scientific="lerning_rate").require_known(("learning_rate", "depth"), "recorded in a.csv")
