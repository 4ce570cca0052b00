"""What a network forgets over a chain of tasks."""
