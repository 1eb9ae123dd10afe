module metalauncher.example/bench

go 1.19

require github.com/BurntSushi/toml v1.6.0
