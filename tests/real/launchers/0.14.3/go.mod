module metalauncher/tests/real/launchers

go 1.18

require github.com/buildpacks/lifecycle v0.14.3

require (
	github.com/BurntSushi/toml v1.2.0 // indirect
	github.com/apex/log v1.9.0 // indirect
	github.com/google/go-cmp v0.5.9 // indirect
	github.com/heroku/color v0.0.6 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.16 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.1.0 // indirect
)

replace github.com/BurntSushi/toml => github.com/BurntSushi/toml v1.1.0
