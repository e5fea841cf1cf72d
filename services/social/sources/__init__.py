"""Sources of music beside plain folders: pure parsers, streams of bytes in, tracks and what is left out of them out."""
