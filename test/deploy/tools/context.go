package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// readContext lists the files that a build sees of each folder: all but what its .dockerignore leaves out.
func readContext(folders []string) (any, error) {
	files := []string{}
	for _, folder := range folders {
		ignored, err := os.Open(filepath.Join(folder, ".dockerignore"))
		if err != nil {
			return nil, err
		}
		patterns, err := ignorefile.ReadAll(ignored)
		ignored.Close()
		if err != nil {
			return nil, err
		}
		matcher, err := patternmatcher.New(patterns)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			name, relErr := filepath.Rel(folder, path)
			if err != nil || relErr != nil || name == "." {
				return err
			}
			out, err := matcher.MatchesOrParentMatches(name)
			if err != nil {
				return err
			}
			switch {
			case entry.IsDir() && out && !bringsBack(matcher, name):
				return fs.SkipDir
			case !entry.IsDir() && !out:
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// bringsBack is true where a pattern beginning with ! may name something below the folder.
func bringsBack(matcher *patternmatcher.PatternMatcher, folder string) bool {
	for _, pattern := range matcher.Patterns() {
		if pattern.Exclusion() && strings.HasPrefix(pattern.String()+"/", folder+"/") {
			return true
		}
	}
	return false
}
