"""What a worker says of what was raised in a trial; without a cluster."""

from __future__ import annotations

import pytest
import ray.exceptions

from raytune_playbook.data.actors import as_playbook_error
from raytune_playbook.engine.gang.worker import has_lost_objects
from raytune_playbook.errors import RunError

LOST = ray.exceptions.OwnerDiedError("66" * 28, "", "")


def raised_from(cause: BaseException | None) -> BaseException:
    """What the reader of a window raises when Ray raised `LOST`."""
    try:
        try:
            raise LOST
        except ray.exceptions.RayError as error:
            raise as_playbook_error(error) from cause
    except RunError as told:
        return told


def test_examples_are_lost_where_an_object_is_and_not_where_a_stream_was_cut_off():
    assert has_lost_objects(LOST) and has_lost_objects(raised_from(LOST))
    with pytest.raises(KeyError) as while_handling:
        try:
            raise LOST
        except ray.exceptions.RayError:
            {}["more"]
    assert has_lost_objects(while_handling.value)
    assert not has_lost_objects(raised_from(None))
    assert not has_lost_objects(None) and not has_lost_objects(ValueError())
