"""A net and its weights as one value: opened, changed, checked and written."""
