"""The type of a handle to the pool, for the driver, the session and Tune's trials."""

from __future__ import annotations

from typing import Protocol

from raytune_playbook.engine.cluster.calls import RemoteMethod
from raytune_playbook.engine.gang.handles import PoolOfGang
from raytune_playbook.engine.gang.messages import AttemptEnd, Cause, NothingYet, TrialKey
from raytune_playbook.engine.gang.round_context import RoundContext
from raytune_playbook.engine.pool.events import News
from raytune_playbook.engine.pool.state import GangFacts
from raytune_playbook.study.trial import TrialSpec


class PoolHandle(PoolOfGang, Protocol):
    """A handle to a `Pool`; what each method does is said there."""

    open_round: RemoteMethod[[RoundContext, int], None]
    close_round: RemoteMethod[[str], None]
    stop_round: RemoteMethod[[str], None]
    stop_trial: RemoteMethod[[str, TrialKey], bool]
    submit: RemoteMethod[[str, str, str], None]
    wait_cause: RemoteMethod[[str, str, str], Cause | NothingYet]
    try_out: RemoteMethod[[str, TrialSpec], None]
    tried_out: RemoteMethod[[str, TrialSpec], AttemptEnd | NothingYet]
    news: RemoteMethod[[str, int, int], News]
    gangs: RemoteMethod[[], list[GangFacts]]
    shut_down: RemoteMethod[[], None]
