"""Nets in ONNX: lowering them layer by layer, and writing what comes of it with all its weights.

To add a layer type, write its function in the family it belongs to. `lower` asks the functions in file
order, `export` writes the file.
"""
