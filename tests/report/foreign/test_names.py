"""What the names of metrics tell."""

from __future__ import annotations

import pytest

from raytune_playbook.report.foreign.names import evaluations_of, is_called_as_result, is_of_test_set, usual_goal


def test_in6_training_and_validation_are_told_apart_by_name():
    assert evaluations_of(["val_loss", "train_loss", "acc"]) == {
        "val_loss": ("validation", "loss"),
        "train_loss": ("train", "loss"),
        "acc": ("validation", "acc"),
    }
    assert evaluations_of(["loss", "val_loss"])["loss"] == ("train", "loss")
    assert evaluations_of(["eval/loss", "training.loss"]) == {
        "eval/loss": ("validation", "loss"),
        "training.loss": ("train", "loss"),
    }


def test_two_names_of_one_thing_stay_apart():
    found = evaluations_of(["val_loss", "validation/loss"])
    assert found == {"val_loss": ("validation", "val_loss"), "validation/loss": ("validation", "validation/loss")}


def test_words_within_a_name_tell_nothing():
    assert evaluations_of(["trainable", "validity"]) == {
        "trainable": ("validation", "trainable"),
        "validity": ("validation", "validity"),
    }


@pytest.mark.parametrize(
    ("metric", "goal"),
    [("val_loss", "minimize"), ("top1.Accuracy", "maximize"), ("error", "minimize"), ("score", None), ("y", None)],
)
def test_whether_small_values_are_good(metric, goal):
    assert usual_goal(metric) == goal


def test_what_a_training_comes_to_is_told_from_what_it_is_given():
    assert all(map(is_called_as_result, ["train_loss", "val_acc", "runtime_s", "duration"]))
    assert not any(map(is_called_as_result, ["loss_weight", "warmup_time", "train_batch_size", "error_type", ""]))


def test_ad6_a_metric_of_the_test_set_is_known_by_its_name():
    assert is_of_test_set("test_acc")
    assert not is_of_test_set("latest_acc")
