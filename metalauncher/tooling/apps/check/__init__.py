"""Prove of app images, without running them, that a run image's launchers cover them."""
