"""Run images: build them, and write and verify their labels."""
