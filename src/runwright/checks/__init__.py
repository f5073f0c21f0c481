"""What is wrong with a run, found before it begins: what building tells, and what needs none."""
