"""What is wrong with a registry: permanent rules, each with its number."""
