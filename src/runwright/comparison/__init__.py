"""Comparing runs: what each of them measured, in tables and pictures."""
