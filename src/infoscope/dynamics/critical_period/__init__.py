"""Whether a deficit does harm for good."""
