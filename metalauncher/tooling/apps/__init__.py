"""What is done to app images."""
