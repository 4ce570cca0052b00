"""What noise in a layer costs."""
