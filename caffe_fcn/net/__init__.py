"""What a net means: upgrades of old formats, the graph of one phase, the shapes and geometry of its blobs."""
