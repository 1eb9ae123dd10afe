"""A registry's launchers: install, list, compare and prove them."""
