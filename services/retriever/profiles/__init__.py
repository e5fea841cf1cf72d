"""Tastes: weights of tracks by profile, their places among the vectors, and what suits them."""
