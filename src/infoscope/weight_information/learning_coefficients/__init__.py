"""How loss and volume go together near a minimum."""
