"""Nets in ONNX: `lower` calls the function of each layer, in `layers/`; `export` writes the file with all weights."""
