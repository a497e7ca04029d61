package main

import (
	"context"

	"github.com/compose-spec/compose-go/v2/cli"
)

// readCompose holds a compose file against the schema and the consistency rules of the Compose Specification, with the
// variables of this process, all profiles on.
func readCompose(files []string) (any, error) {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithProfiles([]string{"*"}), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}
