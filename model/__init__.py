"""The network and its mathematics, images and data sets. Knows no queue and no SQL."""
