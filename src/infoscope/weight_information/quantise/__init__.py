"""How many bits a weight needs."""
