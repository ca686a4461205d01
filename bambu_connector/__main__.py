"""`python -m bambu_connector`."""

from bambu_connector.cli.main import main

main()
