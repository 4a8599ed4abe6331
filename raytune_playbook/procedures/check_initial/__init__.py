"""``raytune-playbook check-initial``: is a job's initial configuration fast, simple, and clearly better than chance?"""
