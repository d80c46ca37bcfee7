"""Two nets, layer by layer: which layers belong together, and what differs, as data without a judgement."""
