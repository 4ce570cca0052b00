"""Many networks trained together."""
