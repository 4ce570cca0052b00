"""One network and its recipe: the only loop that trains a single network."""
