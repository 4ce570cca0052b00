"""Which network to start from."""
