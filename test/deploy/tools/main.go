// Command deploytools reads the files of deploy/ with the code that will read them in earnest, strictly, and prints what
// it understood as JSON. Exit codes: 0 understood, 1 refused (why is on standard error), 2 misuse.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// A reader takes file names ("-" is standard input where it says so) and yields what is to be printed.
type reader func(files []string) (any, error)

var readers = map[string]reader{
	"compose":    readCompose,
	"context":    readContext,
	"dashboard":  readDashboards,
	"dockerfile": readDockerfile,
	"manifests":  readManifests,
}

func main() {
	if len(os.Args) < 3 || readers[os.Args[1]] == nil {
		os.Exit(2)
	}
	understood, err := readers[os.Args[1]](os.Args[2:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(understood)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
