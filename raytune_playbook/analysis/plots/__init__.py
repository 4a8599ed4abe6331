"""The data of plots, which `raytune_playbook.report.figures` draws."""
