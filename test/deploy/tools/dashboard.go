package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// readDashboards holds Grafana dashboards against the schema that Grafana publishes for them; unknown fields are errors.
func readDashboards(files []string) (any, error) {
	plugins.RegisterDefaultPlugins()
	dashboards := []dashboard.Dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var one dashboard.Dashboard
		// It returns an empty list of errors as an error.
		if err := one.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := one.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		dashboards = append(dashboards, one)
	}
	return dashboards, nil
}
