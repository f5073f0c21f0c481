"""The commands of `python -m runwright`."""
