"""How much a network can hold."""
