"""Measuring recognisers."""
