"""Maps drawn over the pictures that they are of."""
