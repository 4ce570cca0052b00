"""What two networks know alone and together."""
