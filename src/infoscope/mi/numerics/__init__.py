"""What estimators are made of: neighbours, bounds, critics."""
