"""Reads and writes prototxt and caffemodel files. The code here does not know what a net means."""
