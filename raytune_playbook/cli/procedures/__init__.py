"""The playbook's procedures as commands, a module each; those that belong together share one."""

from __future__ import annotations

from raytune_playbook.cli.procedures import (  # each registers its commands
    launch,  # noqa: F401
    test_set,  # noqa: F401
    variance,  # noqa: F401
)
