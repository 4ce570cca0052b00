"""Certificates of the risk."""
