module build_info

go 1.26
