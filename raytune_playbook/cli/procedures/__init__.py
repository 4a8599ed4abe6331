"""The playbook's procedures as commands, a module each; those that belong together share one."""
