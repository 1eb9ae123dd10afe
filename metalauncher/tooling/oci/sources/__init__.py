"""Where images are read from: layouts, archives, registries; the blobs that they share."""
