"""Recordings compared window by window, and where the vectors of windows are kept."""
