"""The playbook's procedures as commands, a module each; those that belong together share one."""

from raytune_playbook.cli.procedures import exploit, lengthen  # noqa: F401, each registers its commands
