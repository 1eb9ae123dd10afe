"""Run each launcher for every API that it claims and for the neighbours, and compare."""
