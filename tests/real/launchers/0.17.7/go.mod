module metalauncher/tests/real/launchers

go 1.21

require github.com/buildpacks/lifecycle v0.17.7

require (
	github.com/BurntSushi/toml v1.3.2 // indirect
	github.com/apex/log v1.9.0 // indirect
	github.com/google/go-cmp v0.6.0 // indirect
	github.com/heroku/color v0.0.6 // indirect
	github.com/mattn/go-colorable v0.1.13 // indirect
	github.com/mattn/go-isatty v0.0.19 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.18.0 // indirect
)
