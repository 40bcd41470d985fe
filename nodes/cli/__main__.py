"""`python -m nodes.cli`: the command line without its installed script."""

import sys

from nodes.cli.main import main

sys.exit(main())
