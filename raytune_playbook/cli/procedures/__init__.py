"""The playbook's procedures as commands, a module each; those that belong together share one."""

from __future__ import annotations

from raytune_playbook.cli.procedures import batch_size  # noqa: F401, registers its commands
