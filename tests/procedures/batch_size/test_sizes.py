"""What changes with the batch size in the rounds that measure it, and what must not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from raytune_playbook import Budget, Categorical, Discrete, Float, Int, Objective, Resources, Round, Values, Workload
from raytune_playbook.errors import SpecError
from raytune_playbook.procedures.batch_size.sizes import (
    at_ends,
    batch_sizes,
    decaying_schedule,
    main_arm,
    measured_round,
    other_arms,
    refuse_accumulation,
    steps_round,
)
from raytune_playbook.search.suggest import suggest
from raytune_playbook.study.frozen import Value


class Made(Workload):
    def defaults(self) -> Mapping[str, Value]:
        return {"width": 8, "dropout": 0.0, "accumulation_steps": 1, "batch_size": 64}

    def datasets(self):
        raise NotImplementedError

    def model(self, values: Values):
        raise NotImplementedError

    def loss(self, model, batch, values):
        raise NotImplementedError


def round_of(**changed: object) -> Round:
    fields: dict[str, object] = {
        "name": "made",
        "goal": "Which?",
        "workload": Made(),
        "nuisance": {"learning_rate": Float(0.01, 1.0, scale="log"), "dropout": Float(0.0, 0.5), "width": Int(4, 12)},
        "objective": Objective(metric="loss"),
        "budget": Budget(num_trials=12, max_train_steps=400, evaluation_interval_steps=50),
        "resources": Resources(num_workers=2),
    }
    return Round(**(fields | changed))


def test_ba1_sizes_are_powers_of_two_of_a_whole_gang():
    assert batch_sizes(2, None, 256) == [16, 32, 64, 128, 256]
    assert batch_sizes(3, 6, 100) == [6, 12, 24, 48, 96]
    assert batch_sizes(1, None, None)[:3] == [8, 16, 32]
    for smallest, largest in ((65, 100), (32, 16), (0, None)):
        with pytest.raises(SpecError, match="--min and --max must leave a power of two times the 2 worker"):
            batch_sizes(2, smallest, largest)


@pytest.mark.parametrize(
    "changed",
    [
        {"fixed": {"accumulation_steps": 4}},
        {"scientific": {"accumulation_steps": Discrete([1, 2])}},
    ],
)
def test_ba8_a_round_that_accumulates_gradients_is_refused(changed):
    with pytest.raises(SpecError, match=r"accumulation_steps is [24]; set it to 1"):
        refuse_accumulation(round_of(**changed))
    refuse_accumulation(round_of(fixed={"accumulation_steps": 1}))


def test_bn4_and_ev1_the_virtual_batch_size_stays_and_evaluation_batches_are_no_smaller():
    """The rest is a point of the round: the lowest learning rate, and the middle of other ranges."""
    round_ = round_of(fixed={"virtual_batch_size": 32, "batch_norm": "ghost", "evaluation_batch_size": 256})
    for size, evaluated in ((128, 256), (512, 512)):
        (study,) = measured_round(round_, {}, size, 5, 6).studies
        (values, num_trials) = (suggest(study, 0).values, study.num_trials)
        assert (values["batch_size"], values["evaluation_batch_size"], num_trials) == (size, evaluated, 1)
        assert (values["virtual_batch_size"], values["batch_norm"]) == (32, "ghost")
        assert (values["learning_rate"], values["dropout"], values["width"]) == (pytest.approx(0.01), 0.25, 8)
        assert (study.max_train_steps, study.evaluation_interval_steps) == (30, 5)
    assert measured_round(round_of(), {}, 512, 5, 6).fixed_values["evaluation_batch_size"] is None


def test_a_schedule_longer_than_a_measurement_is_left_out_of_it():
    round_ = round_of(fixed={"schedule": "linear", "decay_steps": 300, "warmup_steps": 100})
    values = measured_round(round_, {}, 64, 5, 6).fixed_values
    assert (values["decay_steps"], values["warmup_steps"]) == (None, 0)


def test_ba7_sd11_and_sd13_each_size_tunes_what_interacts_with_it_as_much_and_may_train_as_long():
    round_ = round_of(fixed={"schedule": "cosine"})
    made = steps_round(round_, [32, 64, 128], 0.3, 5)
    assert [study.arm for study in made.studies] == [{"batch_size": 32}, {"batch_size": 64}, {"batch_size": 128}]
    points = [[suggest(study, index).values for index in range(5)] for study in made.studies]
    for study, values in zip(made.studies, points, strict=True):
        assert list(study.space) == ["dropout", "learning_rate"]  # and not the width, which is architecture
        assert (study.num_trials, study.max_train_steps, study.target) == (5, 400, 0.3)
        assert study.evaluation_interval_steps == 4
        assert {each["width"] for each in values} == {8}
        assert {each["schedule"] for each in values} == {"constant"}
    rates = [{each["learning_rate"] for each in values} for values in points]
    assert rates[0] == rates[1] == rates[2]
    assert (decaying_schedule(round_), decaying_schedule(round_of())) == ("cosine", None)


def test_ba7_a_round_that_tunes_nothing_of_the_kind_is_refused():
    with pytest.raises(SpecError, match="'made' tunes none; make learning_rate nuisance"):
        steps_round(round_of(nuisance={"width": Int(4, 12)}), [32, 64], 0.3, 5)


def test_what_exists_under_one_scientific_value_only_is_tuned_under_its_plain_name():
    round_ = round_of(
        scientific={"optimizer": Categorical(["adam", "momentum"]), "batch_size": Discrete([32, 64])},
        nuisance={
            "adam.learning_rate": Float(1e-4, 1e-2, scale="log", when={"optimizer": "adam"}),
            "momentum.learning_rate": Float(0.01, 1.0, scale="log", when={"optimizer": "momentum"}),
        },
    )
    assert (main_arm(round_), other_arms(round_)) == ({"optimizer": "momentum"}, [{"optimizer": "adam"}])
    for arm, rate in (({"optimizer": "momentum"}, 0.01), ({"optimizer": "adam"}, 1e-4)):
        values = suggest(measured_round(round_, arm, 128, 5, 6).studies[0], 0).values
        assert (values["optimizer"], values["batch_size"]) == (arm["optimizer"], 128)
        assert values["learning_rate"] == pytest.approx(rate)
    (first, _) = steps_round(round_, [64, 128], 0.3, 4).studies
    assert list(first.space) == ["learning_rate"]
    assert first.fixed["optimizer"] == "momentum"
    assert 0.01 <= suggest(first, 0).values["learning_rate"] <= 1.0


def test_a_point_near_an_end_of_its_range_is_told_on_the_ranges_own_scale():
    space = round_of().nuisance
    assert at_ends(space, {"learning_rate": 0.9, "dropout": 0.25, "width": 8}) == ("learning_rate",)
    assert at_ends(space, {"learning_rate": 0.1, "dropout": 0.01, "width": 8}) == ("dropout",)
    assert at_ends(space, {"learning_rate": 0.1, "dropout": 0.4, "width": 6}) == ()
