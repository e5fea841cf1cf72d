"""Synthetic music without end: every seed is another piece, in the styles that recordings to hand may lack."""

from training.renders.render import STYLES, render, style_of
from training.renders.song import SAMPLE_RATE_HZ

__all__ = ["SAMPLE_RATE_HZ", "STYLES", "render", "style_of"]
