"""What changes while a network trains: the information plane."""
