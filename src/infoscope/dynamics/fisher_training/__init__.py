"""Fisher information while a network trains."""
