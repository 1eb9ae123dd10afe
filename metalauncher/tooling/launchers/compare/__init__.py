"""`metalauncher compare`: two launchers side by side, over many small apps."""
