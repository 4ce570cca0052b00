"""What pretrained weights bring to a task."""
