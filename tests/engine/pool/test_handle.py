"""Handles to actors are typed as the actors are; without a cluster."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest

from raytune_playbook.engine.gang.handles import HostHandle, PoolOfGang
from raytune_playbook.engine.gang.host import Host
from raytune_playbook.engine.pool.handle import PoolHandle
from raytune_playbook.engine.pool.pool import Pool


def types_of(method: Callable[..., object]) -> tuple[list[object], object]:
    hints = get_type_hints(method)
    answer = hints.pop("return")
    return list(hints.values()), answer


@pytest.mark.parametrize(("handle", "actor"), [(HostHandle, Host), (PoolOfGang, Pool), (PoolHandle, Pool)])
def test_each_method_of_a_handle_takes_and_answers_what_the_actors_does(handle, actor):
    methods = {name: get_args(hint) for name, hint in get_type_hints(handle).items()}
    assert methods
    for name, (parameters, answer) in methods.items():
        assert types_of(getattr(actor, name)) == (list(parameters), answer), name
        assert inspect.iscoroutinefunction(getattr(actor, name)), name


@pytest.mark.parametrize(("handle", "actor"), [(HostHandle, Host), (PoolHandle, Pool)])
def test_each_method_of_an_actor_is_one_of_its_handle(handle, actor):
    public = {name for name in vars(actor) if not name.startswith("_")}
    assert public == get_type_hints(handle).keys()
