"""``raytune-playbook new``: a job file to start from."""
