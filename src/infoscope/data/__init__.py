"""Tasks: named examples with inputs, a target and splits, and how they are read, combined and corrupted."""
