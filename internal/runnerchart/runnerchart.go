// Package runnerchart is a Helm chart of a runner, for tests and the sandbox. It is our own and has the traps of the
// vendor's: the client_secret is in a Secret that the Deployment reads by envFrom, without a checksum, so that an upgrade
// restarts nothing; two replicas are stated along with an autoscaler; a pod may take twelve hours to end.
package runnerchart

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
)

//go:embed all:testdata/matillion-runner
var files embed.FS

const root = "testdata/matillion-runner"

// Load reads the chart. Each has its own, for Helm changes it.
func Load() (*chart.Chart, error) {
	var buffered []*loader.BufferedFile
	err := fs.WalkDir(files, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		buffered = append(buffered, &loader.BufferedFile{Name: strings.TrimPrefix(path, root+"/"), Data: content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("runnerchart: %w", err)
	}
	loaded, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("runnerchart: %w", err)
	}
	return loaded, nil
}

// Values are those of a runner, and others that an upgrade must not change, of all the types that there are.
func Values(agentID, clientID, clientSecret string) map[string]any {
	return map[string]any{
		"config": map[string]any{"oauthClientId": clientID, "oauthClientSecret": clientSecret, "extra": "kept"},
		"dpcAgent": map[string]any{"dpcAgent": map[string]any{
			"env": map[string]any{"accountId": "sandbox", "agentId": agentID, "matillionRegion": "eu1"},
		}},
		"serviceAccount": map[string]any{
			"annotations": map[string]any{"iam.gke.io/gcp-service-account": "runner@sandbox.iam.gserviceaccount.com"},
		},
		"ours": map[string]any{
			"number": "0123", "big": int64(9007199254740993), "ratio": 0.1, "yes": "yes", "on": true,
			"list": []any{"a", int64(1), map[string]any{"deep": []any{}}}, "empty": map[string]any{}, "text": "two\nlines\n",
		},
	}
}

// Install installs the chart in a namespace, which it makes. It does not wait for the pods.
func Install(ctx context.Context, config *rest.Config, namespace, release string, chart *chart.Chart, values map[string]any) error {
	flags := genericclioptions.NewConfigFlags(false).WithWrapConfigFn(func(*rest.Config) *rest.Config { return rest.CopyConfig(config) })
	flags.Namespace = &namespace
	var helm action.Configuration
	if err := helm.Init(flags, namespace, "secret", func(string, ...any) {}); err != nil {
		return fmt.Errorf("runnerchart: %w", err)
	}
	install := action.NewInstall(&helm)
	install.ReleaseName, install.Namespace, install.CreateNamespace = release, namespace, true
	if _, err := install.RunWithContext(ctx, chart, values); err != nil {
		return fmt.Errorf("runnerchart: %w", err)
	}
	return nil
}
