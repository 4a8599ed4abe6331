"""``python -m raytune_playbook`` is ``raytune-playbook``."""

import sys

from raytune_playbook.cli import main

sys.exit(main())
