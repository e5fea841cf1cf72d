"""Indexes in a running process: who uses them when, what is made beside them, what is kept of them."""
