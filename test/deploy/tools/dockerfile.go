package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
)

type stage struct {
	Name  string
	Base  string
	Steps []step
}

// A step is an instruction in Docker's order, its shell form expanded by nobody.
type step struct {
	Instruction string
	// COPY: the sources, then the target. RUN, ENTRYPOINT, CMD, HEALTHCHECK: the words, or the one shell line.
	Words []string          `json:",omitempty"`
	Shell bool              `json:",omitempty"`
	From  string            `json:",omitempty"`
	Owner string            `json:",omitempty"`
	Mode  string            `json:",omitempty"`
	Pairs map[string]string `json:",omitempty"`
}

// readDockerfile runs BuildKit's own checks (those of `docker build --check`) and yields the stages.
func readDockerfile(files []string) (any, error) {
	stages := []stage{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := check(file, text); err != nil {
			return nil, err
		}
		more, err := stagesOf(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		stages = append(stages, more...)
	}
	return stages, nil
}

func check(file string, text []byte) error {
	source := llb.NewSourceMap(nil, file, "Dockerfile", text)
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
		MetaResolver: bareImages{},
		SourceMap:    source,
	})
	if err != nil {
		return err
	}
	if results.Error != nil {
		return fmt.Errorf("%s: %s", file, results.Error.Message)
	}
	problems := []error{}
	for _, warning := range results.Warnings {
		line := 0
		if ranges := warning.Location.GetRanges(); len(ranges) > 0 {
			line = int(ranges[0].Start.Line)
		}
		problems = append(problems, fmt.Errorf("%s:%d: %s: %s", file, line, warning.RuleName, warning.Detail))
	}
	return errors.Join(problems...)
}

// bareImages stands in for the registry, which the checks ask for the configuration of base images.
type bareImages struct{}

func (bareImages) ResolveImageConfig(_ context.Context, name string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return "", "", nil, err
	}
	configuration := []byte(`{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`)
	return name, digest.FromBytes(configuration), configuration, nil
}

func stagesOf(text []byte) ([]stage, error) {
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	parsed, arguments, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return nil, err
	}
	if len(arguments) > 0 {
		return nil, errors.New("ARG before FROM is not understood here")
	}
	stages := []stage{}
	for _, one := range parsed {
		steps := []step{}
		for _, command := range one.Commands {
			understood, err := stepOf(command)
			if err != nil {
				return nil, err
			}
			steps = append(steps, understood)
		}
		stages = append(stages, stage{Name: one.Name, Base: one.BaseName, Steps: steps})
	}
	return stages, nil
}

func stepOf(command instructions.Command) (step, error) {
	result := step{Instruction: command.Name()}
	switch typed := command.(type) {
	case *instructions.CopyCommand:
		result.Words = append(append([]string{}, typed.SourcePaths...), typed.DestPath)
		result.From, result.Owner, result.Mode = typed.From, typed.Chown, typed.Chmod
	case *instructions.RunCommand:
		result.Words, result.Shell = typed.CmdLine, typed.PrependShell
	case *instructions.EntrypointCommand:
		result.Words, result.Shell = typed.CmdLine, typed.PrependShell
	case *instructions.CmdCommand:
		result.Words, result.Shell = typed.CmdLine, typed.PrependShell
	case *instructions.HealthCheckCommand:
		result.Words = typed.Health.Test
	case *instructions.WorkdirCommand:
		result.Words = []string{typed.Path}
	case *instructions.UserCommand:
		result.Words = []string{typed.User}
	case *instructions.ExposeCommand:
		result.Words = typed.Ports
	case *instructions.StopSignalCommand:
		result.Words = []string{typed.Signal}
	case *instructions.EnvCommand:
		result.Pairs = pairs(typed.Env)
	case *instructions.LabelCommand:
		result.Pairs = pairs(typed.Labels)
	case *instructions.ArgCommand:
		result.Pairs = map[string]string{}
		for _, argument := range typed.Args {
			result.Pairs[argument.Key] = argument.ValueString()
		}
	default:
		return result, fmt.Errorf("%s is not understood here", command.Name())
	}
	return result, nil
}

func pairs(list instructions.KeyValuePairs) map[string]string {
	result := map[string]string{}
	for _, pair := range list {
		result[pair.Key] = pair.Value
	}
	return result
}
