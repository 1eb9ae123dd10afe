"""The toolbox of the package: install, list, check and prove launchers. Nothing that dispatches imports it."""
