"""What weights tell of the examples they were trained on."""
