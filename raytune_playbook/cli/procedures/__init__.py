"""The playbook's procedures as commands, a module each; those that belong together share one."""

from raytune_playbook.cli.procedures import (  # each registers its commands
    advise,  # noqa: F401
    batch_size,  # noqa: F401
    exploit,  # noqa: F401
    launch,  # noqa: F401
    lengthen,  # noqa: F401
    stability,  # noqa: F401
    starting,  # noqa: F401
    test_set,  # noqa: F401
    variance,  # noqa: F401
)
