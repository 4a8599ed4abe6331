"""The playbook's recipes: each a small program over the rooms below, named like its command."""
