"""Engines that run nets, each behind the protocol of `protocol.py`; `registry.py` has them by name."""
