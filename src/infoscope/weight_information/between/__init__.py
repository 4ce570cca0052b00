"""How far apart two checkpoints are."""
