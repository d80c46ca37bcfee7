"""A net on pictures: what it is fed, where its answers lie, and what is told and drawn of them."""
