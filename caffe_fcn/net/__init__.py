"""The meaning of a net: upgrades of old formats, the graph of a phase, the shapes and the geometry of its blobs."""
