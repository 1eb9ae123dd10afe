module metalauncher/tests/real/launchers

go 1.17

require github.com/buildpacks/lifecycle v0.11.4

require (
	github.com/BurntSushi/toml v0.3.1 // indirect
	github.com/apex/log v1.9.0 // indirect
	github.com/buildpacks/imgutil v0.0.0-20210510154637-009f91f52918 // indirect
	github.com/google/go-containerregistry v0.4.1 // indirect
	github.com/heroku/color v0.0.6 // indirect
	github.com/mattn/go-colorable v0.1.2 // indirect
	github.com/mattn/go-isatty v0.0.8 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	golang.org/x/sys v0.0.0-20210124154548-22da62e12c0c // indirect
)

replace golang.org/x/sys => golang.org/x/sys v0.0.0-20200523222454-059865788121
