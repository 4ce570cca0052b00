"""The information plane."""
