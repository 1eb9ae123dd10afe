"""Rewrite app images where they lie, so that the run image's launchers start them."""
