"""From seeds to a playlist: a target, candidates, the rules that choose, an order, and the reasons."""
