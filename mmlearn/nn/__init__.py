"""Pieces that two models share."""
