"""Bits in the weights."""
