"""The three proofs that a converted net is its original's twin: its weights, its answers, its dense maps."""
