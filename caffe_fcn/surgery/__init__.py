"""A net to edits: what to change, decided once on the typed net, for the text and the weights to follow."""
