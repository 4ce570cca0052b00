"""Several checkpoints as one."""
