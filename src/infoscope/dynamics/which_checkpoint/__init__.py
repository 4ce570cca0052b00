"""Which checkpoint of a training generalises."""
