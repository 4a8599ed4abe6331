"""Where a project stands in the playbook and what to do next, told from a storage's records alone."""
