"""The three proofs that a new net matches its original: its weights, its answers, its dense maps."""
