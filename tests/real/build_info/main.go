// Reads names of files, one a line, and prints what debug/buildinfo reads of each as a line of JSON, or null.
package main

import (
	"bufio"
	"debug/buildinfo"
	"encoding/json"
	"os"
)

func main() {
	names := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for names.Scan() {
		info, err := buildinfo.ReadFile(names.Text())
		if err != nil {
			info = nil
		}
		if err := answers.Encode(info); err != nil {
			panic(err)
		}
	}
	if err := out.Flush(); err != nil {
		panic(err)
	}
}
