"""What layers tell of labels."""
