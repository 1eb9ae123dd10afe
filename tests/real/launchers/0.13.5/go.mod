module metalauncher/tests/real/launchers

go 1.17

require github.com/buildpacks/lifecycle v0.13.5

require (
	github.com/BurntSushi/toml v1.0.0 // indirect
	github.com/apex/log v1.9.0 // indirect
	github.com/buildpacks/imgutil v0.0.0-20211203200417-76206845baac // indirect
	github.com/google/go-containerregistry v0.8.0 // indirect
	github.com/heroku/color v0.0.6 // indirect
	github.com/mattn/go-colorable v0.1.12 // indirect
	github.com/mattn/go-isatty v0.0.14 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.0.0-20211216021012-1d35b9e2eb4e // indirect
)
