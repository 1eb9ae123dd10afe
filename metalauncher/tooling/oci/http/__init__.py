"""Talk to a registry: transport, deadlines, credentials, and what its answers mean."""
