"""The playbook's procedures as commands, a module each; those that belong together share one."""

from raytune_playbook.cli.procedures import starting  # noqa: F401, registers its commands
