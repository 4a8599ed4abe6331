"""The command that looks at a cluster."""

from __future__ import annotations

from raytune_playbook.cli.arguments import ADDRESS, STORAGE
from raytune_playbook.cli.group import FAILED, commands


@commands.command("doctor")
@STORAGE
@ADDRESS
def _doctor(storage: str, address: str | None) -> int:
    """Say whether a cluster is fit for rounds: each line what is well, or what is wrong and what to do.

    Every node is asked for its versions, clock, memory, disk and GPUs, writes to the storage and reads what the others
    wrote, and takes part in an all-reduce. The exit code is 1 where something is wrong.
    """
    from raytune_playbook.engine.doctor.doctor import doctor, is_well

    return 0 if is_well(doctor(storage=storage, address=address)) else FAILED
