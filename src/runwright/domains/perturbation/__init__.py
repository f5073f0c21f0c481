"""Cells under perturbation: predict what a drug or an edited gene does to sets of cells."""
