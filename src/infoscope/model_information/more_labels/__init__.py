"""How many labels are missing."""
