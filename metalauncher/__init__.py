"""metalauncher: at container start, become the launcher that covers the app."""

__version__ = "0.1.0.dev0"
