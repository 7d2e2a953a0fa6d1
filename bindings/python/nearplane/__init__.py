"""Weights of language models as closest vectors of a lattice."""
