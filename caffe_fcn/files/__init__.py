"""Bytes to documents and back: prototxt, caffemodel. Nothing here knows what a net means."""
