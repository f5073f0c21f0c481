"""Cartoon faces with CelebA's attributes, to stand in for photographs that are not at hand."""
