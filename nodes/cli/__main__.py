"""`python -m nodes.cli`: the command line without its installed script."""

from nodes.cli.main import main

main()
