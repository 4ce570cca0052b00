"""Families of experts for labels of examples: what predicts tables, images, text and frozen features, one a file."""
