module metalauncher/tests/real/readers/tar

go 1.24
