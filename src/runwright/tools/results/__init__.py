"""`python -m runwright results`: every run below some directories in one table."""

from runwright.tools.results.command import main as main
