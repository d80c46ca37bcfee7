"""Nets proven and put to use: lowered to ONNX, and run by the engines that are installed."""
