"""OCI images: read them from registries, layouts, archives and unpacked roots; write layouts and archives."""
