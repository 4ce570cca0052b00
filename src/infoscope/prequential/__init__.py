"""Information measured by sending labels, one by one, as one learns."""
