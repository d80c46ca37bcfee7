"""The report page: one HTML file that shows a net, its weights and its activations, and needs no network."""
