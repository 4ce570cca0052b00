"""What a component holds."""
